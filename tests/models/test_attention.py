"""Low-rank structures and convolutions against independent formulations."""

import math

import pytest
import torch
from torch.nn import functional as F

from star.genomes.alphabets import IDENTITY, RELU, SOFTMAX, SWISH
from star.models.attention import CHUNK, rotate, structured_attention
from star.models.convolution import long_convolution, short_convolution

ROUNDING = 1e-5


def heads(length: int, groups: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    shapes = [(2, 4, length, 8), (2, groups, length, 8), (2, groups, length, 16)]
    c, b, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return c, b, v


def by_definition(c, b, v, nonlinearity: int, window: int | None) -> torch.Tensor:
    """Position by position, in float64."""
    y = torch.zeros(*c.shape[:3], v.shape[-1], dtype=torch.float64)
    for head in range(c.shape[1]):
        group = head * b.shape[1] // c.shape[1]
        for i in range(c.shape[2]):
            low = 0 if window is None else max(0, i + 1 - window)
            scores = (b[:, group, low : i + 1] @ c[:, head, i, :, None])[..., 0] / math.sqrt(c.shape[-1])
            weights = {
                SOFTMAX: lambda s: torch.softmax(s, dim=-1),
                IDENTITY: lambda s: s / math.sqrt(s.shape[-1]),
                RELU: lambda s: s.clamp(min=0) / math.sqrt(s.shape[-1]),
                SWISH: lambda s: s * torch.sigmoid(s) / math.sqrt(s.shape[-1]),
            }[nonlinearity](scores)
            y[:, head, i] = (weights[:, None, :] @ v[:, group, low : i + 1])[:, 0]
    return y


@pytest.mark.parametrize("nonlinearity", [IDENTITY, SOFTMAX, RELU, SWISH])
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("length", [1, 7, CHUNK + 9])
def test_attention_matches_its_definition(nonlinearity: int, window: int | None, length: int) -> None:
    c, b, v = heads(length)
    expected = by_definition(c, b, v, nonlinearity, window)
    found = structured_attention(c.float(), b.float(), v.float(), nonlinearity, window)
    torch.testing.assert_close(found.double(), expected, rtol=ROUNDING, atol=ROUNDING)


def test_linear_attention_matches_its_recurrence() -> None:
    c, b, v = heads(3 * CHUNK + 1, groups=4)
    state = torch.zeros(2, 4, 8, 16, dtype=torch.float64)
    expected = []
    for t in range(c.shape[2]):
        state = state + b[:, :, t, :, None] * v[:, :, t, None, :]
        expected.append((c[:, :, t, None, :] @ state)[:, :, 0] / math.sqrt(8 * (t + 1)))
    found = structured_attention(c.float(), b.float(), v.float(), IDENTITY, None)
    torch.testing.assert_close(found.double(), torch.stack(expected, dim=2), rtol=1e-4, atol=1e-4)


def test_rotated_scores_depend_on_distance_only() -> None:
    x = torch.randn(8, dtype=torch.float64).expand(1, 1, 12, 8)
    scores = rotate(x, 1e4) @ rotate(x, 1e4).transpose(-1, -2)
    torch.testing.assert_close(scores[..., 5, 2], scores[..., 9, 6], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_short_convolution_matches_torch(length: int) -> None:
    x, kernel = torch.randn(2, length, 6), torch.randn(6, 3)
    expected = F.conv1d(F.pad(x.transpose(1, 2), (2, 0)), kernel[:, None], groups=6).transpose(1, 2)
    torch.testing.assert_close(short_convolution(x, kernel), expected)


@pytest.mark.parametrize("length", [1, 5, 64])
def test_long_convolution_matches_its_definition(length: int) -> None:
    x, kernel = torch.randn(2, length, 3), torch.randn(length, 3)
    expected = torch.stack(
        [sum(kernel[j] * x[:, i - j] for j in range(i + 1)) for i in range(length)],  # type: ignore[misc]
        dim=1,
    )
    torch.testing.assert_close(long_convolution(x, kernel), expected, rtol=1e-4, atol=1e-4)
