"""Which implementation of a primitive runs: Triton where it is certified, else the fast PyTorch
path.

`STAR_KERNELS=auto` (the default) decides so; `reference` takes the plain definition, for
comparison; `triton` demands Triton, on CUDA or, under TRITON_INTERPRET=1, on the CPU.
"""

import logging
import os

import torch
from torch import Tensor

from .certificates import holds

MODES = ("auto", "reference", "triton")
REFERENCE, TORCH, TRITON = "reference", "torch", "triton"

log = logging.getLogger(__name__)
_said: set[tuple[str, torch.dtype]] = set()


def mode() -> str:
    """The value of STAR_KERNELS. Raises ValueError for an unknown one."""
    value = os.environ.get("STAR_KERNELS", "auto")
    if value not in MODES:
        raise ValueError(f"STAR_KERNELS={value}: expected one of {', '.join(MODES)}")
    return value


def choose(operation: str, tensor: Tensor) -> str:
    """`reference`, `torch` or `triton` for an operation on tensors like this one.

    Raises ValueError when Triton is demanded where it cannot run.
    """
    wanted = mode()
    if wanted == "reference":
        return REFERENCE
    if wanted == "triton":
        if not tensor.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
            raise ValueError(
                f"STAR_KERNELS=triton: {operation} got tensors on {tensor.device}, expected a CUDA "
                f"device or "
                "TRITON_INTERPRET=1; unset STAR_KERNELS to use PyTorch"
            )
        return TRITON
    if not tensor.is_cuda:
        return TORCH
    return TRITON if _certified(operation, tensor.dtype, tensor.device) else TORCH


def _certified(operation: str, dtype: torch.dtype, device: torch.device) -> bool:
    if holds(operation, dtype, device):
        return True
    if (operation, dtype) not in _said:
        _said.add((operation, dtype))
        log.warning(
            "%s in %s has no certificate for this GPU and these versions, so PyTorch runs it; "
            "python -m star.kernels.certify makes one",
            operation,
            dtype,
        )
    return False


# torch.compile asks once, since it cannot trace through files and logging. This is what
# torch.compiler.assume_constant_result does, but that imports torch._dynamo, which takes a second.
_certified._dynamo_marked_constant = True  # type: ignore[attr-defined]
