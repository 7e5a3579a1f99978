"""SSD beyond the registry's tests: transformers' convention, gradients, compilation, errors."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from star.kernels.ssd import ssd
from star.kernels.ssd.operator import operator, ssd_from
from star.kernels.ssd.reference import ssd_reference

NAMES = ("c", "b", "v", "decay", "state")


def draw(
    length: int,
    *,
    heads: int = 4,
    groups: int = 2,
    size: int = 5,
    width: int = 7,
    dtype: torch.dtype = torch.float64,
) -> list[Any]:
    """c, b, v, decay and a state for batch 2."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    c, b = (normal(groups, length, size) for _ in range(2))
    decay = -F.softplus(normal(heads, length) - 1)
    tensors = (c, b, normal(heads, length, width), decay, normal(heads, size, width))
    return [x.to(dtype).requires_grad_() for x in tensors]


@pytest.mark.parametrize("groups", [1, 4])
def test_it_is_the_scan_of_hugging_faces_mamba_2(groups: int) -> None:
    model = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    scan = getattr(model.mamba2_chunk_scan, "__wrapped__", model.mamba2_chunk_scan)
    tensors = draw(70, groups=groups, dtype=torch.float32)
    c, b, v, _, state = tensors
    step = torch.rand(2, 70, 4) + 0.1
    rate = -torch.rand(4) - 0.1
    z, end = scan(
        v.transpose(1, 2),
        step,
        rate,
        b.transpose(1, 2),
        c.transpose(1, 2),
        chunk_size=16,
        initial_states=state.mT,
        return_final_states=True,
    )
    values, decays = v * step.transpose(1, 2)[..., None], (step * rate).transpose(1, 2)
    y, last = ssd_from(c, b, values, decays, state)
    torch.testing.assert_close(y, z.transpose(1, 2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(last, end.mT, atol=1e-4, rtol=1e-4)
    given, grad = (c, b, v, state), torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, given, grad),
        torch.autograd.grad(z, given, grad.transpose(1, 2)),
        atol=2e-4,
        rtol=2e-4,
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 32, 75])
def test_the_fast_path_has_exact_gradients(length: int, groups: int) -> None:
    inputs = draw(length, groups=groups, size=3, width=2)
    assert torch.autograd.gradcheck(ssd_from, inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("heads", "groups", "size", "width"),
    [(1, 1, 1, 1), (6, 2, 64, 17), (3, 3, 64, 16), (4, 1, 9, 33)],
)
@pytest.mark.parametrize("length", [1, 31, 32, 33, 131])
def test_it_is_its_recurrence(length: int, heads: int, groups: int, size: int, width: int) -> None:
    inputs = draw(length, heads=heads, groups=groups, size=size, width=width)
    found, expected = ssd_from(*inputs), ssd_reference(*inputs)
    torch.testing.assert_close(found, expected)
    cotangents = [torch.randn_like(x) for x in expected]
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, cotangents),
        torch.autograd.grad(expected, inputs, cotangents),
    )


def test_either_output_alone_has_gradients() -> None:
    inputs = draw(20)
    y, last = ssd_from(*inputs)
    both = torch.autograd.grad(y.sum() + last.sum(), inputs, retain_graph=True)
    alone = [
        torch.autograd.grad(
            x.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for x in (y, last)
    ]
    torch.testing.assert_close(both, tuple(a + b for a, b in zip(*alone, strict=True)))


def test_a_decay_of_minus_infinity_forgets_all() -> None:
    c, b, v, decay, state = (x.detach() for x in draw(60))
    decay[:, :, 41] = -torch.inf
    decay.requires_grad_()
    y, _ = ssd_from(c, b, v, decay, state)
    fresh = ssd(*(x[:, :, 41:] for x in (c, b, v, decay)))
    torch.testing.assert_close(y[:, :, 41:], fresh)
    (grad,) = torch.autograd.grad(y.sum(), decay)
    assert torch.isfinite(grad).all() and (grad[:, :, 41].abs() < 1e-12).all()


@pytest.mark.slow
def test_the_custom_operator_is_sound() -> None:
    for length in (1, 40):
        inputs = draw(length, size=3, width=2, dtype=torch.float32)
        torch.library.opcheck(operator, tuple(inputs))
        torch.library.opcheck(operator, (*inputs[:4], None))


def test_compiled_whole_it_gives_the_same() -> None:
    *inputs, _ = draw(40, dtype=torch.float32)

    def function(*x: Any) -> torch.Tensor:
        return ssd(*x) * 2

    compiled: Any = torch.compile(function, fullgraph=True, backend="aot_eager")
    found, expected = compiled(*inputs), function(*inputs)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y.sum(), inputs) for y in (found, expected)))


def test_mixed_dtypes_and_autocast_return_the_dtype_of_v() -> None:
    c, b, v, decay, state = draw(40, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, last = ssd_from(c.bfloat16(), b, v.bfloat16(), decay, state)
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    expected, _ = ssd_from(c, b, v, decay, state)
    assert (y - expected).norm() < 1e-2 * expected.norm()
    gradients = torch.autograd.grad(y.float().sum() + last.sum(), (c, v, decay, state))
    assert all(grad.dtype == torch.float32 for grad in gradients)


@pytest.mark.parametrize(
    ("name", "x", "said"),
    [
        ("v", torch.zeros(2, 3, 4), "v has shape .* expected .batch, heads, length, head width"),
        (
            "c",
            torch.zeros(2, 0, 4, 5),
            "c has shape .* expected .batch, groups, length, state size",
        ),
        ("b", torch.zeros(2, 4, 4, 5), r"b has shape .* expected \(2, 2, 4, 5\)"),
        ("c", torch.zeros(2, 2, 9, 5), r"c has shape .* expected \(2, 2, 4, 5\)"),
        ("decay", torch.zeros(2, 4, 3), r"decay has shape .* expected \(2, 4, 4\)"),
        ("state", torch.zeros(2, 4, 7, 5), r"state has shape .* expected \(2, 4, 5, 7\)"),
        ("b", torch.zeros(2, 2, 4, 5, device="meta"), "b is on meta, expected cpu"),
        ("decay", torch.zeros(2, 4, 4, dtype=torch.long), "decay has dtype torch.int64, expected"),
    ],
)
def test_unfit_arguments_are_named(name: str, x: torch.Tensor, said: str) -> None:
    given = dict(zip(NAMES, draw(4), strict=True))
    with pytest.raises(ValueError, match=f"ssd: {said}"):
        ssd(**{**given, name: x})


def test_groups_must_divide_the_heads() -> None:
    c, b, v, decay, _ = draw(4)
    with pytest.raises(ValueError, match="v has 3 heads, expected a multiple of the 2 groups"):
        ssd(c, b, v[:, :3], decay[:, :3])
