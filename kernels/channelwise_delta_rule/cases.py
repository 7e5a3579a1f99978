"""Cases of `channelwise_delta_rule` for certificates, benchmarks and tests."""

import torch
from torch import Tensor

from ..delta_cases import delta_operation
from .operator import NAME, channelwise_delta_rule_from
from .reference import channelwise_delta_rule_reference

Outputs = tuple[Tensor, ...]


def _decay(drawn: Tensor) -> Tensor:
    """Half of the channels keep more than 0.87 a position; of 40, one keeps less than 0.0006."""
    return -torch.exp(2 * drawn - 2)


def _transformers(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from transformers.models.kimi_linear import modeling_kimi_linear as model

    # Its plain form, also where the one of `fla` would stand in for it.
    chunk = getattr(model.chunk_kimi_delta_attention, "__wrapped__", None)
    rows = (x.transpose(1, 2) for x in (q, k, v, decay, beta))
    chunk = chunk or model.chunk_kimi_delta_attention
    y, last = chunk(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


def _fla(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> Outputs:
    from fla.ops.kda import chunk_kda  # pyright: ignore[reportMissingImports]

    rows = (x.transpose(1, 2).contiguous() for x in (q, k, v, decay, beta))
    y, last = chunk_kda(*rows, initial_state=state, output_final_state=True)
    return y.transpose(1, 2), last


CHANNELWISE_DELTA_RULE = delta_operation(
    NAME,
    run=channelwise_delta_rule_from,
    reference=channelwise_delta_rule_reference,
    decay=_decay,
    by_channel=True,
    peers={"transformers chunk": _transformers, "fla": _fla},
)
