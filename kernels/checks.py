"""Checks of kernel inputs: one line that names the operation, the argument, what it is and what was
expected."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_inputs(
    operation: str, expected: Mapping[str, tuple[Tensor | None, Sequence[int]]]
) -> None:
    """Each argument's tensor and the shape it must have; None stands for an optional argument that
    is not given.

    Raises ValueError for another shape, another device than the first one has, or a dtype that is
    not in `DTYPES`.
    """
    first_name, (first, _) = next(iter(expected.items()))
    assert first is not None
    for name, (tensor, shape) in expected.items():
        if tensor is None:
            continue
        if tuple(tensor.shape) != tuple(shape):
            raise ValueError(
                f"{operation}: {name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}"
            )
        if tensor.device != first.device:
            raise ValueError(
                f"{operation}: {name} is on {tensor.device}, expected {first.device} as "
                f"{first_name}"
            )
        if tensor.dtype not in DTYPES:
            choices = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise ValueError(
                f"{operation}: {name} has dtype {tensor.dtype}, expected one of {choices}"
            )
