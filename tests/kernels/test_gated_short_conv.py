"""The short convolutions beyond the registry's tests: conv1d's convention, gradients, compilation,
errors."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from star.kernels.gated_short_conv import MAX_TAPS, gated_short_conv, short_conv
from star.kernels.gated_short_conv.operator import (
    gated_operator,
    gated_short_conv_from,
    plain_operator,
    short_conv_from,
)

BATCH, CHANNELS = 2, 5


def draw(length: int, taps: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    """b, v, c, kernel, tail and bias."""
    generator = torch.Generator().manual_seed(length)
    value = (BATCH, length, CHANNELS)
    shapes: dict[str, tuple[int, ...]] = {
        "b": value,
        "v": value,
        "c": value,
        "kernel": (CHANNELS, taps),
    }
    shapes |= {"tail": (BATCH, taps - 1, CHANNELS), "bias": (CHANNELS,)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in shapes.items()
    }


def conv1d(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    padded = F.pad(x.transpose(1, 2), (kernel.shape[1] - 1, 0))
    return F.conv1d(padded, kernel[:, None], bias, groups=kernel.shape[0]).transpose(1, 2)


@pytest.mark.parametrize("taps", range(1, MAX_TAPS + 1))
def test_it_is_conv1d_with_padding_on_the_left(taps: int) -> None:
    b, v, c, kernel, _, bias = draw(11, taps).values()
    torch.testing.assert_close(gated_short_conv(b, v, c, kernel), c * conv1d(b * v, kernel))
    torch.testing.assert_close(short_conv(v, kernel), conv1d(v, kernel))
    torch.testing.assert_close(
        short_conv(v, kernel, bias, swish=True), F.silu(conv1d(v, kernel, bias))
    )


@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("taps", [1, 3, 8])
def test_the_fast_path_has_exact_gradients(length: int, taps: int) -> None:
    b, v, c, kernel, tail, bias = (x.requires_grad_() for x in draw(length, taps).values())

    def plain(*x: torch.Tensor) -> Any:
        return short_conv_from(x[0], x[1], x[2], True, x[3])

    inputs = [b, v, c, kernel, *([tail] if taps > 1 else [])]
    assert torch.autograd.gradcheck(lambda *x: gated_short_conv(*x[:4]), inputs[:4], fast_mode=True)
    assert torch.autograd.gradcheck(lambda *x: short_conv(*x), (v, kernel), fast_mode=True)
    if taps > 1:
        assert torch.autograd.gradcheck(gated_short_conv_from, inputs, fast_mode=True)
        assert torch.autograd.gradcheck(plain, (v, kernel, bias, tail), fast_mode=True)


def test_operators_keep_the_rules_of_torch_library() -> None:
    b, v, c, kernel, tail, bias = (x.requires_grad_() for x in draw(4, 3, torch.float32).values())
    for past in (None, tail):
        torch.library.opcheck(gated_operator, (b, v, c, kernel, past))
        torch.library.opcheck(plain_operator, (v, kernel, bias, True, past))
    torch.library.opcheck(plain_operator, (v, kernel, None, False, None))
    torch.library.opcheck(gated_operator, (b.bfloat16(), v.half(), c, kernel, None))


def test_torch_compile_traces_them_whole() -> None:
    b, v, c, kernel, tail, bias = (x.requires_grad_() for x in draw(4, 3, torch.float32).values())

    def function(*x: Any) -> Any:
        b, v, c, kernel, tail, bias = x
        y = gated_short_conv_from(b, v, c, kernel, tail)
        return short_conv(y * 2, kernel, bias, swish=True).sum()

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    inputs = (b, v, c, kernel, tail, bias)
    found, expected = compiled(*inputs), function(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs)
    )


def test_mixed_dtypes_and_autocast_return_the_dtype_of_the_value() -> None:
    exact = draw(33, 4)
    b, v, c, kernel, tail, bias = (x.float().requires_grad_() for x in exact.values())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = gated_short_conv_from(b, v.bfloat16(), c.half(), kernel, tail.bfloat16())
        z = short_conv(v.bfloat16(), kernel, bias, swish=True)
    assert y.dtype == z.dtype == torch.bfloat16
    grads = torch.autograd.grad((y.float().sum(), z.float().sum()), (b, v, c, kernel, bias))
    assert all(grad.dtype == torch.float32 for grad in grads)
    expected = gated_short_conv_from(*(exact[name] for name in ("b", "v", "c", "kernel", "tail")))
    assert (y.double() - expected).norm() < 1.5e-2 * expected.norm()


def test_wide_values_among_narrow_ones_keep_their_precision() -> None:
    b, v, c, kernel, _, _ = draw(5, 3).values()
    expected = gated_short_conv(b, v.float().double(), c, kernel)
    torch.testing.assert_close(
        gated_short_conv(b, v.float(), c, kernel), expected.float(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"v": torch.zeros(2, 5)},
            r"v has shape \(2, 5\), expected 3 axes \(batch, length, channels\)",
        ),
        ({"b": torch.zeros(2, 4, 6)}, r"b has shape \(2, 4, 6\), expected \(2, 4, 5\)"),
        ({"c": torch.zeros(2, 1, 5)}, r"c has shape \(2, 1, 5\), expected \(2, 4, 5\)"),
        (
            {"kernel": torch.zeros(5, 9)},
            r"kernel has shape \(5, 9\), expected \(channels, taps\) with 1 to 8 taps",
        ),
        ({"kernel": torch.zeros(4, 3)}, r"kernel has shape \(4, 3\), expected \(5, 3\)"),
        ({"kernel": torch.zeros(5, 0)}, "1 to 8 taps"),
        ({"state": torch.zeros(2, 3, 5)}, r"state has shape \(2, 3, 5\), expected \(2, 2, 5\)"),
        ({"c": torch.zeros(2, 4, 5, device="meta")}, "c is on meta, expected cpu as v"),
        (
            {"kernel": torch.zeros(5, 3, dtype=torch.int64)},
            "kernel has dtype torch.int64, expected one of float32",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, torch.Tensor], message: str) -> None:
    b, v, c, kernel, tail, _ = draw(4, 3, torch.float32).values()
    inputs: dict[str, Any] = {"b": b, "v": v, "c": c, "kernel": kernel, "state": tail}
    with pytest.raises(ValueError, match=f"^gated_short_conv: .*{message}"):
        gated_short_conv(**{**inputs, **changed})


def test_the_plain_form_names_itself_in_errors() -> None:
    _, v, _, kernel, _, bias = draw(4, 3, torch.float32).values()
    with pytest.raises(ValueError, match=r"^short_conv: bias has shape \(4,\), expected \(5,\)"):
        short_conv(v, kernel, bias[:4])
