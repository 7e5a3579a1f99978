"""The training of a probe against torch's own steps, and accuracy by hand."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from star.data.mad import IGNORED, Instances, one_token_pairs, pair_vocabulary
from star.evaluation.probing import (
    accuracy,
    answer_loss,
    answers,
    micro_accuracy,
    train_on_instances,
)
from star.training import Diverged


class Table(nn.Module):
    """Logits of each token, whatever stood before it."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.logits[tokens]


def test_accuracy_and_loss_are_those_of_scored_positions() -> None:
    """Of the four scored ones, by hand: right, wrong, right, right."""
    model = Table(torch.eye(3))
    inputs = torch.tensor([[0, 1, 2], [2, 1, 0]])
    targets = torch.tensor([[0, 0, IGNORED], [2, 1, IGNORED]])
    found = Instances(inputs, targets)
    assert accuracy(model, found) == accuracy(model, found, batch_size=1) == 3 / 4
    right, wrong = -math.log(math.e / (math.e + 2)), -math.log(1 / (math.e + 2))
    assert answer_loss(model, found).item() == pytest.approx((3 * right + wrong) / 4)


def test_micro_accuracy_counts_scored_tokens() -> None:
    predicted = torch.tensor([[1, 2, 3], [4, 5, 6]])
    targets = torch.tensor([[1, IGNORED, 0], [4, 5, IGNORED]])
    assert micro_accuracy(predicted, targets) == 3 / 4


@pytest.mark.parametrize("training", [True, False])
def test_answers_are_of_a_model_that_is_not_training_and_leave_it_as_it_was(training: bool) -> None:
    """Dropout of everything would answer 0 everywhere."""
    model = nn.Sequential(Table(torch.eye(3)), nn.Dropout(1.0)).train(training)
    inputs = torch.tensor([[0, 1, 2], [2, 1, 0], [1, 1, 2]])
    assert torch.equal(answers(model, inputs, batch_size=2), inputs)
    assert model.training is training


def test_steps_are_those_of_torch() -> None:
    """Gradients are clipped together before each, and the weights are left where it stops."""
    vocabulary = pair_vocabulary(2, 2, 1)
    batches = [
        one_token_pairs(4, first=4 * step, keys=2, values=2, fillers=1, length=6)
        for step in range(5)
    ]
    torch.manual_seed(0)
    model = Table(torch.randn(vocabulary, vocabulary))
    other = copy.deepcopy(model)
    expected = []
    optimizer = torch.optim.SGD(other.parameters(), lr=0.5)
    for batch in batches[:3]:
        optimizer.zero_grad()
        logits = other(batch.inputs)
        loss = F.cross_entropy(logits.permute(0, 2, 1), batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(other.parameters(), 0.1)
        optimizer.step()
        expected.append(loss.item())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    steps = train_on_instances(model, batches, optimizer, gradient_clip=0.1)
    assert [next(steps) for _ in range(3)] == pytest.approx(expected)
    torch.testing.assert_close(model.logits, other.logits)


def test_what_is_not_finite_ends_it_before_the_step() -> None:
    model = Table(torch.full((9, 9), math.nan))
    batch = one_token_pairs(2, keys=2, values=2, fillers=1, length=6)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(Diverged, match="loss is nan at step 0"):
        next(train_on_instances(model, [batch], optimizer))
