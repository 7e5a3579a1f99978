"""`torch.compile` of every class in one graph, forward and backward, gives what the plain model
gives."""

import warnings

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F

from star.genomes import ALPHABETS, Genome, Liv, LivClass
from star.models import Cache, LanguageModel
from star.testing.structures import build, tokens

RELEASED = ALPHABETS["released"]
HALF = 12  # of the tokens, behind the first window
# And softmax attention with rotations, in little time.
HEADS_WITH_STEPS = {"GatedDelta", "SSD", "KDA"}


def gradients(model: torch.nn.Module, own: LanguageModel) -> list[torch.Tensor]:
    x = tokens()
    loss = F.cross_entropy(model(x)[:, :-1].flatten(0, 1), x[:, 1:].flatten())
    own.zero_grad()
    loss.backward()
    return [loss.detach(), *(parameter.grad.clone() for parameter in own.parameters())]  # type: ignore


@pytest.mark.parametrize(
    "liv_class",
    [
        pytest.param(
            liv_class,
            id=liv_class.name,
            marks=() if liv_class.name in HEADS_WITH_STEPS else pytest.mark.slow,
        )
        for liv_class in RELEASED.classes
    ],
)
def test_every_class_compiles_in_one_graph(liv_class: LivClass) -> None:
    torch._dynamo.reset()
    model = build(Genome((Liv(liv_class.id), Liv(liv_class.id)), RELEASED), scale=3.0)
    with warnings.catch_warnings(action="error", category=UserWarning):
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        found = gradients(compiled, model)  # type: ignore[arg-type]
    for one, other in zip(found, gradients(model, model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "class_ids",
    [
        pytest.param([1, 19, 9, 22], id="attention, a window, the delta rule"),
        pytest.param([5, 7, 8, 18], id="scans and convolutions", marks=pytest.mark.slow),
        pytest.param([23, 4, 10, 14], id="heads and differences", marks=pytest.mark.slow),
        pytest.param([31, 40, 41, 42], id="of released models", marks=pytest.mark.slow),
    ],
)
def test_a_step_of_generation_is_compiled_for_all_positions(class_ids: list[int]) -> None:
    torch._dynamo.reset()
    model, x = build(Genome(tuple(map(Liv, class_ids)), RELEASED), scale=3.0), tokens()
    with torch.no_grad():
        expected = model(x)
    cache = Cache.allocate(model, len(x), x.shape[1] + 3)  # a full one would be another graph
    model.prefill(x[:, :4], cache)
    counter = CompileCounterWithBackend("aot_eager")
    step = torch.compile(model.step, backend=counter, fullgraph=True)
    graphs = 0
    for position in range(4, x.shape[1]):
        graphs = counter.frame_count if position == HALF else graphs
        torch.testing.assert_close(
            step(x[:, position], cache), expected[:, position], rtol=1e-3, atol=1e-4
        )
    assert counter.frame_count == graphs  # none was made for a position of the second half
