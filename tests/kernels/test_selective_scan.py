"""Selective scan: the blocked implementation against its definition."""

import pytest
import torch

from star.kernels.selective_scan import selective_scan
from star.kernels.selective_scan.blocked import BLOCK
from star.kernels.selective_scan.reference import selective_scan_reference

ROUNDING = 1e-4  # float32 against float64, relative to the largest value


def inputs(batch: int, length: int, channels: int, state: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tensors = [
        normal(batch, length, channels),
        normal(batch, length, channels).exp() * 0.1,
        -normal(channels, state).exp(),
        normal(batch, length, state),
        normal(batch, length, state),
    ]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def test_gradcheck() -> None:
    assert torch.autograd.gradcheck(selective_scan, inputs(2, BLOCK + 3, 2, 2, torch.float64))


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_and_gradients_match_the_definition(length: int, dtype: torch.dtype) -> None:
    ours, theirs = inputs(2, length, 5, 3, dtype), inputs(2, length, 5, 3, torch.float64)
    weight = torch.randn(2, length, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y, expected = selective_scan(*ours), selective_scan_reference(*theirs)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    pairs = [(y, expected), *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))]
    for found, wanted in pairs:
        assert found is not None and wanted is not None
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=ROUNDING * wanted.abs().max().item())


def test_nothing_of_size_length_times_state_is_kept_for_the_backward_pass() -> None:
    batch, length, channels, state = 2, 8 * BLOCK, 4, 16
    saved: list[int] = []

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        selective_scan(*inputs(batch, length, channels, state, torch.float32))
    assert saved and sum(saved) < batch * length * channels * state


def test_low_precision_accumulates_in_float32() -> None:
    tensors = inputs(1, 40, 3, 4, torch.bfloat16)
    y = selective_scan(*tensors)
    expected = selective_scan_reference(*(tensor.double() for tensor in tensors))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), expected, rtol=2**-7, atol=2**-7)


def test_autocast_does_not_lower_the_precision() -> None:
    tensors = inputs(1, 40, 3, 4, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = selective_scan(*tensors)
    assert torch.equal(found, selective_scan(*tensors))


def test_wrong_shape_is_named() -> None:
    v, step, rate, b, c = inputs(1, 4, 3, 2, torch.float32)
    with pytest.raises(ValueError, match=r"b has shape \(1, 3, 2\), expected \(1, 4, 2\)"):
        selective_scan(v, step, rate, b[:, :3], c)
