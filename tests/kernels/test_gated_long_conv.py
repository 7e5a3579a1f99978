"""The gated long convolution beyond the registry's tests: transforms, gradients, compilation,
errors."""

from typing import Any

import pytest
import torch

from star.kernels.gated_long_conv import cpu, gated_long_conv
from star.kernels.gated_long_conv.operator import operator
from star.kernels.gated_long_conv.reference import gated_long_conv_reference

NAMES = ("b", "v", "c", "kernel")


def draw(length: int, channels: int = 3, dtype: torch.dtype = torch.float64) -> list[Any]:
    """b, v, c and kernel for batch 2."""
    generator = torch.Generator().manual_seed(length)
    shapes = [(2, length, channels)] * 3 + [(length, channels)]
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes
    ]


def test_transforms_hold_a_whole_convolution_and_have_small_factors() -> None:
    for length in range(1, 3000):
        size = cpu.transform_length(length)
        assert 2 * length - 1 <= size <= max(8, 8 * length / 3)
        for factor in (2, 3, 5):
            while size % factor == 0:
                size //= factor
        assert size == 1
    assert [cpu.transform_length(n) for n in (16, 128, 129, 145, 161, 193)] == [
        32,
        256,
        288,
        320,
        384,
        512,
    ]


@pytest.mark.parametrize("length", [1, 2, 5, 64, 127, 300])
def test_it_is_the_sum_over_lags(length: int) -> None:
    inputs = draw(length)
    torch.testing.assert_close(gated_long_conv(*inputs), gated_long_conv_reference(*inputs))


@pytest.mark.parametrize("length", [1, 6, 17])
def test_the_fast_path_has_exact_gradients(length: int) -> None:
    assert torch.autograd.gradcheck(
        gated_long_conv, [x.requires_grad_() for x in draw(length, 2)], fast_mode=True
    )


def test_the_future_has_no_influence() -> None:
    b, v, c, kernel = draw(40)
    y = gated_long_conv(b, v, c, kernel)
    v[:, 25:] += 100
    torch.testing.assert_close(gated_long_conv(b, v, c, kernel)[:, :25], y[:, :25])


def test_the_custom_operator_is_sound() -> None:
    for length in (1, 9):
        torch.library.opcheck(
            operator, tuple(x.requires_grad_() for x in draw(length, dtype=torch.float32))
        )


def test_compiled_whole_it_gives_the_same() -> None:
    inputs = [x.requires_grad_() for x in draw(20, dtype=torch.float32)]

    def function(*x: Any) -> torch.Tensor:
        return gated_long_conv(*x) * 2

    compiled: Any = torch.compile(function, fullgraph=True, backend="aot_eager")
    found, expected = compiled(*inputs), function(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y.sum(), inputs) for y in (found, expected)))


def test_mixed_dtypes_and_autocast_return_the_dtype_of_v() -> None:
    b, v, c, kernel = (x.requires_grad_() for x in draw(20, dtype=torch.float32))
    expected = gated_long_conv(b, v, c, kernel)
    with torch.autocast("cpu", torch.bfloat16):
        y = gated_long_conv(b.bfloat16(), v.bfloat16(), c, kernel)
        (grad,) = torch.autograd.grad(y.float().sum(), kernel)
    assert y.dtype == torch.bfloat16 and grad.dtype == torch.float32
    assert (y.float() - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize(
    ("name", "x", "said"),
    [
        ("v", torch.zeros(2, 4), "v has shape .* expected .batch, length, channels"),
        ("b", torch.zeros(2, 4, 4), r"b has shape \(2, 4, 4\), expected \(2, 4, 3\)"),
        ("kernel", torch.zeros(3, 4), r"kernel has shape \(3, 4\), expected \(4, 3\)"),
        (
            "c",
            torch.zeros(2, 4, 3, dtype=torch.complex64),
            "c has dtype torch.complex64, expected one of",
        ),
        ("kernel", torch.zeros(4, 3, device="meta"), "kernel is on meta, expected cpu"),
    ],
)
def test_unfit_arguments_are_named(name: str, x: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"gated_long_conv: {said}"):
        gated_long_conv(**{**dict(zip(NAMES, draw(4), strict=True)), name: x})
