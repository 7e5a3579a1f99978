"""Structured attention beyond what the registry's tests check."""

import pytest
import torch

from star.kernels.linear_attention import linear_attention
from star.kernels.linear_attention.operator import linear_attention_from
from star.kernels.linear_attention.operator import operator as linear_operator
from star.kernels.linear_attention.reference import linear_attention_reference
from star.kernels.structured_attention import (
    NONLINEARITIES,
    differential_attention,
    structured_attention,
)
from star.kernels.structured_attention.operator import operator
from star.kernels.structured_attention.reference import (
    differential_attention_reference,
    structured_attention_reference,
)

LONG = 200  # beyond the lengths that go to torch's attention with a mask
WEIGHT = torch.tensor(0.4, dtype=torch.float64)
EVERY_NONLINEARITY = pytest.mark.parametrize("nonlinearity", NONLINEARITIES)


def draw(
    length: int,
    *,
    total: int = 0,
    heads: int = 4,
    groups: int = 2,
    copies: int = 1,
    dtype: torch.dtype = torch.float64,
) -> list[torch.Tensor]:
    """C, B and V of width 3 and value width 5."""
    generator = torch.Generator().manual_seed(length)
    total = total or length
    shapes = [(2, copies * heads, length, 3), (2, copies * groups, total, 3), (2, groups, total, 5)]
    tensors = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes
    ]
    return [tensor.requires_grad_() for tensor in tensors]


@EVERY_NONLINEARITY
@pytest.mark.parametrize("window", [None, 1, 7, LONG + 5])
@pytest.mark.parametrize("past", [0, 10])
def test_long_sequences_match_the_definition(
    nonlinearity: str, window: int | None, past: int
) -> None:
    c, b, v = draw(LONG, total=LONG + past)
    found = structured_attention(c, b, v, nonlinearity, window)
    expected = structured_attention_reference(c, b, v, nonlinearity, window)
    torch.testing.assert_close(found, expected)
    grad = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, [c, b, v], grad),
        torch.autograd.grad(expected, [c, b, v], grad),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@EVERY_NONLINEARITY
@pytest.mark.parametrize("window", [None, 7])
def test_differential_pairs_match_two_operators(nonlinearity: str, window: int | None) -> None:
    c, b, v = draw(LONG, copies=2)
    weight = WEIGHT.clone().requires_grad_()
    first, second = (
        structured_attention_reference(x, y, v, nonlinearity, window)
        for x, y in zip(c.chunk(2, 1), b.chunk(2, 1), strict=True)
    )
    expected = first - weight * second
    grad = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, [c, b, v, weight], grad)
    tiled = operator(c, b, v, weight, nonlinearity, window)[
        0
    ]  # where the public function may take another way
    for found in (differential_attention(c, b, v, weight, nonlinearity, window), tiled):
        torch.testing.assert_close(found, expected)
        for ours, theirs in zip(
            torch.autograd.grad(found, [c, b, v, weight], grad), gradients, strict=True
        ):
            torch.testing.assert_close(ours, theirs)


@EVERY_NONLINEARITY
@pytest.mark.parametrize("window", [None, 3])
def test_gradcheck(nonlinearity: str, window: int | None) -> None:
    def differential(
        c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        return differential_attention(c, b, v, weight, nonlinearity, window)

    def plain(c: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return operator(c, b, v, None, nonlinearity, window)[0]

    weight = WEIGHT.clone().requires_grad_()
    assert torch.autograd.gradcheck(plain, draw(70, total=72), fast_mode=True)
    assert torch.autograd.gradcheck(differential, [*draw(70, copies=2), weight], fast_mode=True)


def test_gradcheck_of_linear_attention() -> None:
    state = torch.randn(2, 2, 3, 5, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(
        lambda c, b, v, state: linear_attention_from(c, b, v, state, 9),
        [*draw(70), state],
        fast_mode=True,
    )


@EVERY_NONLINEARITY
@pytest.mark.parametrize("total", [1, 9])
@pytest.mark.parametrize("window", [None, 4])
def test_one_position_is_the_last_row_of_the_whole(
    nonlinearity: str, total: int, window: int | None
) -> None:
    c, b, v = draw(total)
    found = structured_attention(c[:, :, -1:], b, v, nonlinearity, window)
    torch.testing.assert_close(
        found, structured_attention_reference(c, b, v, nonlinearity, window)[:, :, -1:]
    )
    c, b, v = draw(total, copies=2)
    found = differential_attention(c[:, :, -1:], b, v, WEIGHT, nonlinearity, window)
    expected = differential_attention_reference(c, b, v, WEIGHT, nonlinearity, window)[:, :, -1:]
    torch.testing.assert_close(found, expected)


def test_linear_attention_matches_its_recurrence() -> None:
    c, b, v = draw(20, groups=4)
    state = torch.zeros(2, 4, 3, 5, dtype=torch.float64)
    expected = []
    for t in range(c.shape[2]):
        state = state + b[:, :, t, :, None] * v[:, :, t, None, :]
        expected.append((c[:, :, t, None, :] @ state)[:, :, 0] / (3 * (t + 1)) ** 0.5)
    torch.testing.assert_close(linear_attention(c, b, v), torch.stack(expected, dim=2))
    torch.testing.assert_close(linear_attention_reference(c, b, v)[0], torch.stack(expected, dim=2))


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("nonlinearity", ["swish", "softmax"])
def test_custom_operators(nonlinearity: str, window: int | None) -> None:
    weight = torch.tensor(0.3, requires_grad=True)
    tensors = draw(70, dtype=torch.float32)
    torch.library.opcheck(operator, (*tensors, None, nonlinearity, window))
    torch.library.opcheck(
        operator, (*draw(70, copies=2, dtype=torch.float32), weight, nonlinearity, window)
    )


@pytest.mark.parametrize("length", [64, 70])
def test_custom_operator_of_linear_attention(length: int) -> None:
    state = torch.randn(2, 2, 3, 5, requires_grad=True)
    tensors = draw(length, dtype=torch.float32)
    torch.library.opcheck(linear_operator, (*tensors, state, 3))
    torch.library.opcheck(linear_operator, (*tensors, None, 0))


def test_compiled() -> None:
    def function(
        c: torch.Tensor, b: torch.Tensor, v: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        y = differential_attention(c, b, v, weight, "swish", 5)
        return y + linear_attention(c[:, :4], b[:, :2], v)

    c, b, v = draw(40, copies=2, dtype=torch.float32)
    weight = torch.tensor(0.3, requires_grad=True)
    inputs = [c, b, v, weight]
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(function(*inputs).sum(), inputs)
    for ours, theirs in zip(
        torch.autograd.grad(compiled(*inputs).sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@EVERY_NONLINEARITY
def test_autocast_and_mixed_dtypes_compute_wide(nonlinearity: str) -> None:
    c, b, v = draw(LONG, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = structured_attention(c, b.bfloat16(), v, nonlinearity, 20)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, structured_attention_reference(c, b.bfloat16(), v, nonlinearity, 20)
    )
    found = structured_attention(c, b, v.bfloat16(), nonlinearity)
    assert found.dtype == torch.bfloat16
    step = structured_attention(c[:, :, -1:].bfloat16(), b, v, nonlinearity)
    assert step.dtype == torch.float32


def test_definition_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAR_KERNELS", "reference")
    c, b, v = draw(9)
    assert torch.equal(
        structured_attention(c, b, v, "relu"), structured_attention_reference(c, b, v, "relu")
    )
    assert torch.equal(linear_attention(c, b, v), linear_attention_reference(c, b, v)[0])


def test_errors_say_what_was_expected() -> None:
    c, b, v = draw(9)
    with pytest.raises(
        ValueError, match="nonlinearity is 'tanh', expected one of none, relu, swish, softmax"
    ):
        structured_attention(c, b, v, "tanh")
    with pytest.raises(ValueError, match="window is 0, expected None or at least 1"):
        structured_attention(c, b, v, "relu", 0)
    with pytest.raises(ValueError, match="3 heads, expected a multiple of the 2"):
        structured_attention(c[:, :3], b, v, "relu")
    with pytest.raises(ValueError, match="c has length 9, expected at most the 8"):
        structured_attention(c, b[:, :, 1:], v[:, :, 1:], "relu")
    with pytest.raises(ValueError, match=r"b has shape \(2, 2, 9, 2\), expected \(2, 2, 9, 3\)"):
        structured_attention(c, b[..., 1:], v, "relu")
    with pytest.raises(ValueError, match="v has dtype torch.int64"):
        structured_attention(c, b, v.long(), "relu")
    with pytest.raises(ValueError, match="expected 4 axes"):
        structured_attention(c[0], b, v, "relu")
    with pytest.raises(ValueError, match="weight is on meta, expected cpu"):
        differential_attention(c, b, v[:, :1], WEIGHT.to("meta"), "relu")
    with pytest.raises(ValueError, match="expected those of b to be twice those of v"):
        differential_attention(c, b, v, WEIGHT, "relu")
    with pytest.raises(ValueError, match="lengths 8 and 9, expected equal ones"):
        linear_attention(c[:, :, 1:], b, v)
