"""SwiGLU's gate beyond the registry's tests: gradients, dtypes, compilation, errors, Triton's
operator."""

import os

import pytest
import torch
from torch.nn import functional as F

from star.kernels.swiglu import swiglu
from star.kernels.swiglu.operator import operator

UNDER_TRITON = os.environ.get("STAR_KERNELS") == "triton"


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    c, v = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for _ in range(2)
    )
    return c, v


@pytest.mark.skipif(UNDER_TRITON, reason="Triton computes in float32")
@pytest.mark.parametrize("shape", [(1,), (2, 3, 5)])
def test_the_fast_path_has_exact_gradients(shape: tuple[int, ...]) -> None:
    assert torch.autograd.gradcheck(swiglu, draw(*shape))
    assert torch.autograd.gradgradcheck(swiglu, draw(*shape))


def test_mixed_dtypes_and_autocast_return_the_dtype_of_the_value() -> None:
    c, v = draw(2, 9, 6, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = swiglu(c, v.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), F.silu(c) * v, rtol=1e-2, atol=1e-2)
    assert swiglu(c.half(), v).dtype == torch.float32
    assert [grad.dtype for grad in torch.autograd.grad(y.sum(), (c, v))] == [torch.float32] * 2


def test_torch_compile_traces_it_whole() -> None:
    c, v = draw(2, 3, 4, dtype=torch.float32)
    compiled = torch.compile(lambda c, v: swiglu(c, v).sum(), fullgraph=True, backend="aot_eager")
    found, expected = compiled(c, v), (F.silu(c) * v).sum()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (c, v)), torch.autograd.grad(expected, (c, v))
    )


@pytest.mark.parametrize(
    ("c", "message"),
    [
        (torch.zeros(2, 4), r"c has shape \(2, 4\), expected \(2, 3\)"),
        (torch.zeros(2, 3, device="meta"), "c is on meta, expected cpu as v"),
        (torch.zeros(2, 3, dtype=torch.int64), "c has dtype torch.int64, expected one of float32"),
    ],
)
def test_what_does_not_fit_is_refused(c: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"^swiglu: {message}"):
        swiglu(c, torch.zeros(2, 3))


@pytest.mark.skipif(not UNDER_TRITON, reason="runs in the child process of test_interpreter.py")
def test_triton_operator_keeps_the_rules_of_torch_library() -> None:
    torch.library.opcheck(operator, draw(2, 3, 4, dtype=torch.float32))


@pytest.mark.skipif(not UNDER_TRITON, reason="runs in the child process of test_interpreter.py")
@pytest.mark.parametrize("width", [1, 7, 48, 1500])
def test_triton_reads_halves_of_a_wider_tensor_in_place(width: int) -> None:
    wide = torch.randn(2, 5, 2 * width, requires_grad=True)
    c, v = wide.chunk(2, dim=-1)
    y, expected = swiglu(c, v), F.silu(c) * v
    assert y.is_contiguous()
    torch.testing.assert_close(y, expected)
    grad = torch.randn(5, 2, width).transpose(0, 1)
    torch.testing.assert_close(
        torch.autograd.grad(y, wide, grad), torch.autograd.grad(expected, wide, grad)
    )
