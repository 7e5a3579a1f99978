"""One convention for all: with a state, the inputs continue a sequence, and it is advanced in
place."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from star.kernels.channelwise_delta_rule import channelwise_delta_rule
from star.kernels.gated_delta_rule import gated_delta_rule
from star.kernels.gated_long_conv import gated_long_conv
from star.kernels.gated_short_conv import gated_short_conv, short_conv
from star.kernels.linear_attention import differential_linear_attention, linear_attention
from star.kernels.selective_scan import selective_scan
from star.kernels.ssd import ssd

BATCH, LENGTH, CHANNELS, TAPS, STATES = 2, 90, 6, 4, 3
HEADS, GROUPS, KEY, VALUE = 4, 2, 3, 5
CUTS = {
    "prompt, then steps": [0, 80, 81, 82, 83, 90],
    "fewer than the taps": [0, 2, 4, 5, 90],
    "steps from nothing": [0, 1, 2, 3, 90],
}


@dataclass(frozen=True)
class Primitive:
    """Shapes of the inputs along the sequence, with the length at `axis`, of those without one, and
    of the state."""

    function: Callable[..., torch.Tensor]
    axis: int
    moving: dict[str, tuple[int, ...]]
    still: dict[str, tuple[int, ...]]
    state: tuple[int, ...]
    counts: bool = False  # whether it must be told how many positions the state has seen


VALUES = (BATCH, LENGTH, CHANNELS)
TAIL = (BATCH, TAPS - 1, CHANNELS)
MATRIX = (BATCH, HEADS, KEY, VALUE)
ROWS = (BATCH, HEADS, LENGTH)
LINEAR = {
    "c": (BATCH, HEADS, LENGTH, KEY),
    "b": (BATCH, GROUPS, LENGTH, KEY),
    "v": (BATCH, GROUPS, LENGTH, VALUE),
}
PRIMITIVES = {
    "short_conv": Primitive(
        lambda **x: short_conv(**x, swish=True),
        axis=1,
        moving={"x": VALUES},
        still={"kernel": (CHANNELS, TAPS), "bias": (CHANNELS,)},
        state=TAIL,
    ),
    "gated_short_conv": Primitive(
        gated_short_conv,
        axis=1,
        moving={"b": VALUES, "v": VALUES, "c": VALUES},
        still={"kernel": (CHANNELS, TAPS)},
        state=TAIL,
    ),
    "gated_long_conv": Primitive(
        gated_long_conv,
        axis=1,
        moving={"b": VALUES, "v": VALUES, "c": VALUES},
        still={"kernel": (LENGTH, CHANNELS)},
        state=VALUES,
        counts=True,
    ),
    "selective_scan": Primitive(
        selective_scan,
        axis=1,
        moving={
            "v": VALUES,
            "step": VALUES,
            "b": (BATCH, LENGTH, STATES),
            "c": (BATCH, LENGTH, STATES),
            "gate": VALUES,
        },
        still={"rate": (CHANNELS, STATES), "skip": (CHANNELS,)},
        state=(BATCH, CHANNELS, STATES),
    ),
    "channelwise_delta_rule": Primitive(
        channelwise_delta_rule,
        axis=2,
        moving={
            "q": (*ROWS, KEY),
            "k": (*ROWS, KEY),
            "v": (*ROWS, VALUE),
            "decay": (*ROWS, KEY),
            "beta": ROWS,
        },
        still={},
        state=MATRIX,
    ),
    "gated_delta_rule": Primitive(
        gated_delta_rule,
        axis=2,
        moving={
            "q": (*ROWS, KEY),
            "k": (*ROWS, KEY),
            "v": (*ROWS, VALUE),
            "decay": ROWS,
            "beta": ROWS,
        },
        still={},
        state=MATRIX,
    ),
    "ssd": Primitive(
        ssd,
        axis=2,
        moving={
            "c": (BATCH, GROUPS, LENGTH, KEY),
            "b": (BATCH, GROUPS, LENGTH, KEY),
            "v": (*ROWS, VALUE),
            "decay": ROWS,
        },
        still={},
        state=MATRIX,
    ),
    "linear_attention": Primitive(
        linear_attention,
        axis=2,
        moving=LINEAR,
        still={},
        state=(BATCH, GROUPS, KEY, VALUE),
        counts=True,
    ),
    "differential_linear_attention": Primitive(
        differential_linear_attention,
        axis=2,
        moving={**LINEAR, "v": (BATCH, GROUPS // 2, LENGTH, VALUE)},
        still={"weight": ()},
        state=(BATCH, GROUPS, KEY, VALUE),
        counts=True,
    ),
}
EVERY_PRIMITIVE = pytest.mark.parametrize("primitive", PRIMITIVES.values(), ids=PRIMITIVES.keys())
IN_RANGE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "step": lambda x: 0.1 * x.exp(),
    "rate": lambda x: -x.exp(),
    "decay": lambda x: -F.softplus(x),
    "beta": torch.sigmoid,
    "k": lambda x: F.normalize(x, dim=-1),
}


def draw(primitive: Primitive, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {**primitive.moving, **primitive.still}
    drawn = {
        name: torch.randn(shape, generator=generator).double() for name, shape in shapes.items()
    }
    return {
        name: IN_RANGE.get(name, lambda x: x)(x).to(dtype).requires_grad_()
        for name, x in drawn.items()
    }


def in_parts(
    primitive: Primitive, inputs: dict[str, torch.Tensor], state: torch.Tensor, cuts: list[int]
) -> torch.Tensor:
    outputs = []
    for start, end in pairwise(cuts):
        part = {
            name: x.narrow(primitive.axis, start, end - start) if name in primitive.moving else x
            for name, x in inputs.items()
        }
        seen = {"position": start} if primitive.counts else {}
        outputs.append(primitive.function(**part, **seen, state=state))
    return torch.cat(outputs, dim=primitive.axis)


@EVERY_PRIMITIVE
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_parts_of_a_sequence_are_the_whole(
    primitive: Primitive, cuts: list[int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAR_KERNELS", mode)
    inputs = draw(primitive, torch.float64)
    state = torch.zeros(primitive.state, dtype=torch.float64)
    found = in_parts(primitive, inputs, state, cuts)
    torch.testing.assert_close(found, primitive.function(**inputs).detach())
    again = torch.zeros(primitive.state, dtype=torch.float64)
    in_parts(primitive, inputs, again, [0, LENGTH])
    torch.testing.assert_close(state, again)
    assert state.any()


@EVERY_PRIMITIVE
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_state_may_be_a_part_of_a_buffer_in_any_dtype(
    primitive: Primitive, dtype: torch.dtype
) -> None:
    inputs = draw(primitive, torch.float32)
    first, *rest = primitive.state
    buffer = torch.zeros(first, 2, *rest, dtype=dtype)  # as of two operators
    with torch.inference_mode():
        found = in_parts(primitive, inputs, buffer[:, 1], CUTS["prompt, then steps"])
    assert found.dtype == torch.float32 and buffer[:, 1].any() and not buffer[:, 0].any()
    near = 5e-2 if dtype == torch.bfloat16 else 1e-4  # bfloat16 rounds what is carried
    torch.testing.assert_close(found, primitive.function(**inputs).detach(), rtol=near, atol=near)


@EVERY_PRIMITIVE
@pytest.mark.parametrize("length", [1, 5])
def test_no_gradient_flows_into_a_state(primitive: Primitive, length: int) -> None:
    state = torch.zeros(primitive.state)
    y = in_parts(primitive, draw(primitive, torch.float32), state, [0, length])
    assert not y.requires_grad and not state.requires_grad


@EVERY_PRIMITIVE
def test_values_keep_their_dtype_under_autocast(primitive: Primitive) -> None:
    inputs = draw(primitive, torch.float32)
    narrow = {**inputs, **{n: inputs[n].bfloat16() for n in ("v", "x") if n in inputs}}
    exact, rounded = (torch.zeros(primitive.state) for _ in range(2))
    expected = in_parts(primitive, inputs, exact, CUTS["prompt, then steps"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = in_parts(primitive, narrow, rounded, CUTS["prompt, then steps"])
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < 2e-2 * expected.norm()
    assert (exact - rounded).norm() < 2e-2 * exact.norm()


@EVERY_PRIMITIVE
def test_a_state_of_another_shape_is_refused(primitive: Primitive) -> None:
    inputs = draw(primitive, torch.float32)
    wrong = torch.zeros(*primitive.state[:-1], primitive.state[-1] + 1)
    with pytest.raises(ValueError, match="state has shape"):
        primitive.function(**inputs, state=wrong)
    with pytest.raises(ValueError, match="state has dtype torch.int64"):
        primitive.function(**inputs, state=torch.zeros(primitive.state, dtype=torch.int64))


def test_a_long_convolution_wants_room_for_its_positions() -> None:
    inputs = draw(PRIMITIVES["gated_long_conv"], torch.float32)
    history = torch.zeros(BATCH, LENGTH + 7, CHANNELS)
    longer = {**inputs, "kernel": torch.randn(LENGTH + 9, CHANNELS)}
    assert gated_long_conv(**longer, state=history, position=7).shape == VALUES
    with pytest.raises(ValueError, match="state has shape .* room for the positions 8 to 98"):
        gated_long_conv(**longer, state=history, position=8)
    with pytest.raises(ValueError, match="kernel has shape .* room for the positions 1 to 91"):
        gated_long_conv(**inputs, state=history, position=1)
    with pytest.raises(ValueError, match="room for the positions -1"):
        gated_long_conv(**inputs, state=history, position=-1)
    with pytest.raises(ValueError, match="position is -1, expected 0 or more"):
        linear_attention(**draw(PRIMITIVES["linear_attention"], torch.float32), position=-1)


def test_a_compiled_step_advances_the_state() -> None:
    primitive = PRIMITIVES["gated_delta_rule"]
    inputs: dict[str, Any] = {n: x.detach() for n, x in draw(primitive, torch.float32).items()}
    found, expected = (torch.zeros(primitive.state) for _ in range(2))
    compiled = torch.compile(
        lambda state, inputs: gated_delta_rule(**inputs, state=state),
        fullgraph=True,
        backend="aot_eager",
    )
    torch.testing.assert_close(compiled(found, inputs), gated_delta_rule(**inputs, state=expected))
    torch.testing.assert_close(found, expected)
