"""Cases of `gated_delta_rule` for certificates, benchmarks and tests."""

from torch import Tensor
from torch.nn import functional as F

from ..delta_cases import delta_operation
from .operator import NAME, gated_delta_rule_from
from .reference import gated_delta_rule_reference

Outputs = tuple[Tensor, ...]


def _decay(drawn: Tensor) -> Tensor:
    return -F.softplus(drawn - 2)


def _transformers(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from transformers.models.qwen3_next import modeling_qwen3_next as model

    # Its plain form, also where the one of `fla` would stand in for it.
    chunk = getattr(
        model.torch_chunk_gated_delta_rule, "__wrapped__", model.torch_chunk_gated_delta_rule
    )
    rows = (x.transpose(1, 2) for x in (q, k, v, decay, beta))
    y, last = chunk(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


def _fla(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from fla.ops.gated_delta_rule import (  # pyright: ignore[reportMissingImports]
        chunk_gated_delta_rule,
    )

    rows = (x.transpose(1, 2).contiguous() for x in (q, k, v, decay, beta))
    y, last = chunk_gated_delta_rule(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


GATED_DELTA_RULE = delta_operation(
    NAME,
    run=gated_delta_rule_from,
    reference=gated_delta_rule_reference,
    decay=_decay,
    by_channel=False,
    peers={"transformers chunk": _transformers, "fla": _fla},
    strongest=2.0,
)
