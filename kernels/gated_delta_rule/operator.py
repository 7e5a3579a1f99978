"""The gated delta rule as an operator of torch.library, and which path runs."""

from types import ModuleType

from torch import Tensor

from ..delta import delta_operator
from ..dispatch import REFERENCE, TRITON, choose
from ..dtypes import without_autocast
from . import cpu
from .reference import gated_delta_rule_reference

NAME = "gated_delta_rule"


def gated_delta_rule_from(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y and the last state, differentiable in the first state too; arguments unchecked."""
    if choose(NAME, v) == REFERENCE:
        with without_autocast(v):
            return gated_delta_rule_reference(q, k, v, decay, beta, state)
    return operator(q, k, v, decay, beta, state)[:2]


def _implementation(q: Tensor, k: Tensor, v: Tensor) -> ModuleType:
    """The module that computes: Triton's, or PyTorch's for what Triton's does not support."""
    if choose(NAME, v) == TRITON:
        from . import triton

        if triton.supports(q, k, v):
            return triton
    return cpu


operator = delta_operator(NAME, _implementation)
