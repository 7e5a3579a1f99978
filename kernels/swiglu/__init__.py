"""SwiGLU's gate: `silu(c) * v` (arXiv 2002.05202)."""

from torch import Tensor

from ..checks import check_inputs
from ..dispatch import REFERENCE, TRITON, choose
from . import cpu
from .operator import NAME, operator
from .reference import swiglu_reference

__all__ = ["swiglu"]

IMPLEMENTATIONS = {REFERENCE: swiglu_reference, TRITON: operator}


def swiglu(c: Tensor, v: Tensor) -> Tensor:
    """`y = c * sigmoid(c) * v` (arXiv 2002.05202).

    Triton passes over memory once forward and once backward, computes in float32 and keeps c and v
    alone.

    Args:
        c: any shape, floating (float32, bfloat16, float16 or float64, mixed at will).
        v: the same shape.

    Returns y of that shape in the dtype of v. Raises ValueError for shapes, devices or dtypes that
    do not fit.
    """
    check_inputs(NAME, {"v": (v, v.shape), "c": (c, v.shape)})
    return IMPLEMENTATIONS.get(choose(NAME, v), cpu.forward)(c, v)
