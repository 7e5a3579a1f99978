"""The three trainings: what they lower, and what they leave alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from star.data import Corpus
from star.genomes import Genome
from star.hybrids.linearise.branches import make_branches
from star.hybrids.linearise.gates import Gates
from star.hybrids.linearise.stages import (
    Alignment,
    Distillation,
    GateTraining,
    Stage,
    attended,
    divergence,
    mismatch,
)
from star.models import LanguageModel
from star.models.language_model import LivModule
from star.training import Trainer, TrainingConfig
from tests.hybrids.linearise.small import SIZES, config, corpus, model, plan, tokens

Branches = tuple[LanguageModel, dict[int, LivModule]]  # with their original
ONE = Genome.from_text("11111-91111-11111")


@pytest.fixture(scope="module")
def text() -> Corpus:
    return corpus()


def backward(stage: Stage) -> None:
    batch = stage.corpus.batch(stage.seed, stage.step, 2, stage.config.length)
    stage.loss(batch).backward()


def has_gradients(module: nn.Module) -> list[bool]:
    return [weights.grad is not None for weights in module.parameters()]


def test_what_a_liv_gets_and_gives_adds_up() -> None:
    original = model(ONE)
    seen = attended(original, (0, 1, 2), tokens())
    assert torch.equal(seen[0][0], original.embedding(tokens()))
    for place in (0, 1):
        x, update = seen[place]
        torch.testing.assert_close(x + update, seen[place + 1][0])
    assert attended(original, (2,), tokens()).keys() == {2}
    assert not original.livs[0]._forward_hooks


def test_mismatch_is_a_share() -> None:
    wanted = torch.randn(3, 4)
    assert mismatch(wanted, wanted) == 0
    assert mismatch(torch.zeros(3, 4), wanted).item() == pytest.approx(1)
    assert mismatch(3 * wanted, wanted).item() == pytest.approx(4)


def test_divergence_is_that_of_torch() -> None:
    found, wanted = torch.randn(2, 5, 7), torch.randn(2, 5, 7)
    for temperature in (1.0, 2.0):
        p, q = (torch.distributions.Categorical(logits=x / temperature) for x in (wanted, found))
        expected = temperature**2 * torch.distributions.kl_divergence(p, q).mean()
        torch.testing.assert_close(divergence(found, wanted, temperature), expected)


def test_alignment_trains_branches_alone(text: Corpus) -> None:
    original = model(ONE)
    branches = make_branches(original, plan(ONE))
    before = copy.deepcopy(original.state_dict())
    stage = Alignment(original, branches, text, config(align_steps=12, align_learning_rate=0.01))
    backward(stage)
    assert not any(has_gradients(original))
    assert all(all(has_gradients(branch)) for branch in branches.values())
    stage.optimizer.zero_grad(set_to_none=True)
    losses = [stage.advance().loss for _ in range(12)]
    assert losses[-1] < 0.95 * losses[0]
    assert all(torch.equal(x, before[name]) for name, x in original.state_dict().items())


def test_branches_that_are_the_attention_match_it(text: Corpus) -> None:
    original = model(ONE)
    branches = {place: copy.deepcopy(original.livs[place]) for place in (0, 2)}
    stage = Alignment(original, branches, text, config())
    assert stage.loss(text.batch(0, 0, 2, 16)).item() == 0


@pytest.mark.parametrize("learns", [False, True])
def test_gates_learn_and_frozen_weights_get_no_gradients(text: Corpus, learns: bool) -> None:
    original, found = model(ONE), plan(ONE)
    branches, gates = make_branches(original, found), Gates(found, 0.5)
    settings = config(gates_train_branches=learns, gates_language=0.5)
    stage = GateTraining(original, branches, gates, text, settings)
    backward(stage)
    assert not any(has_gradients(original))
    assert all(any(has_gradients(branch)) == learns for branch in branches.values())
    assert gates.alpha.grad is not None and gates.alpha.grad.abs().min() > 0
    held = sum(len(group["params"]) for group in stage.optimizer.param_groups)
    counted = sum(len([*branch.parameters()]) for branch in branches.values())
    assert held == 1 + learns * counted


def gates_after(steps: int, branches: Branches, text: Corpus, **changes: object) -> list[float]:
    """Values of the gates of a trained model, from 0.5 on."""
    original, found = branches[0], plan(ONE)
    gates = Gates(found, 0.5)
    settings = config(gates_steps=steps, gates_learning_rate=0.2, **changes)
    stage = GateTraining(original, branches[1], gates, text, settings)
    for _ in range(steps):
        stage.advance()
    return gates().tolist()


@pytest.fixture(scope="module")
def counting() -> tuple[LanguageModel, Corpus]:
    """A model that has learned a text in which the next token is the present one plus 1."""
    numbers = np.arange(6000, dtype=np.uint8) % 7
    text = Corpus(numbers[:5000], numbers[5000:], "test", SIZES.vocabulary)
    settings = TrainingConfig(steps=40, batch_size=4, length=16, device="cpu", warmup_steps=0)
    trainer = Trainer(model(ONE), text, settings, 0)
    assert [trainer.advance().loss for _ in range(40)][-1] < 0.5
    return trainer.model, text  # type: ignore[return-value]


def test_the_penalty_opens_gates(counting: tuple[LanguageModel, Corpus]) -> None:
    original, text = counting
    same = {place: copy.deepcopy(original.livs[place]) for place in (0, 2)}
    assert min(gates_after(5, (original, same), text, gates_penalty=5.0)) > 0.7  # nothing is lost


def test_gates_of_bad_branches_close(counting: tuple[LanguageModel, Corpus]) -> None:
    original, text = counting
    branches = {place: copy.deepcopy(original.livs[place]) for place in (0, 2)}
    with torch.no_grad():
        branches[2].output.weight.copy_(torch.randn_like(branches[2].output.weight))
    weights = {"gates_recall": 0.0, "gates_language": 1.0, "gates_penalty": 0.01}
    good, bad = gates_after(8, (original, branches), text, **weights)
    assert bad < 0.3 and good > bad


def test_distillation_trains_the_new_model_towards_the_old_one(text: Corpus) -> None:
    original = model(ONE)
    student = model(ONE, seed=1)
    settings = config(distil_steps=8, distil_teacher=1.0, distil_recall=0.0)
    stage = Distillation(original, student, text, settings)
    backward(stage)
    assert not any(has_gradients(original)) and all(has_gradients(student))
    stage.optimizer.zero_grad(set_to_none=True)
    losses = [stage.advance().loss for _ in range(8)]
    assert losses[-1] < losses[0]
    same = Distillation(original, copy.deepcopy(original).requires_grad_(True), text, settings)
    assert same.loss(text.batch(0, 0, 2, 16)).item() == pytest.approx(0, abs=1e-5)


def test_without_a_teacher_distillation_is_training(text: Corpus) -> None:
    student, batch = model(ONE, seed=1), text.batch(0, 0, 2, 16)
    settings = config(distil_teacher=0.0, distil_recall=0.0)
    stage = Distillation(model(ONE), student, text, settings)
    logits = student(batch[:, :-1])
    expected = nn.functional.cross_entropy(
        logits.reshape(-1, SIZES.vocabulary), batch[:, 1:].flatten()
    )
    torch.testing.assert_close(stage.loss(batch), expected)
