"""`torch.compile` of every class in one graph, forward and backward, gives what the plain model
gives."""

import warnings

import pytest
import torch
from torch.nn import functional as F

from star.genomes import ALPHABETS, Genome, Liv, LivClass
from star.models import LanguageModel
from star.testing.structures import build, tokens

EXTENDED = ALPHABETS["extended"]
HEADS_WITH_STEPS = {"GatedDelta", "SSD"}  # and softmax attention with rotations, in little time


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
        for liv_class in EXTENDED.classes
    ],
)
def test_every_class_compiles_in_one_graph(liv_class: LivClass) -> None:
    torch._dynamo.reset()
    model = build(Genome((Liv(liv_class.id), Liv(liv_class.id)), EXTENDED), scale=3.0)
    with warnings.catch_warnings(action="error", category=UserWarning):
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        found = gradients(compiled, model)  # type: ignore[arg-type]
    for one, other in zip(found, gradients(model, model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
