"""Models and trainings of MAD on tiny settings."""

import math
from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import nn

from star.data.mad import Instances
from star.evaluation.mad import PROTOCOLS, Preset, Run, Setting, train
from star.evaluation.mad.model import AutoEncoder, build_model, sinusoids
from star.evaluation.mad.training import _batches, training_config
from star.genomes import Genome, ModelConfig
from star.models import LanguageModel
from star.training.optimizers import learning_rate_at

FEED_FORWARD, CONVOLUTION, ATTENTION = (
    Genome.from_text(text) for text in ("91111-91111", "71111-91111", "11111-91111-11111-91111")
)
COMPRESSION = Setting("compression", 8, 8, 64)
MEMORIZATION = Setting("memorization", 16, 8, 32)
SIZES = ModelConfig(width=32)
PRESET = Preset((MEMORIZATION,), steps=120, batch_size=32, held_out=64)


def run(setting: Setting = MEMORIZATION, rate: float = 1e-2, seed: int = 0) -> Run:
    return Run(setting, rate, 0.0, seed)


def test_a_task_is_learnt_and_ends_the_training_when_it_is_solved() -> None:
    outcome = train(CONVOLUTION, run(), PRESET, SIZES)
    assert outcome.validation_accuracy == outcome.test_accuracy == outcome.test_macro_accuracy == 1
    assert outcome.steps in (50, 100) and not outcome.diverged


def test_a_run_gives_the_same_numbers_again_and_seeds_differ() -> None:
    short = replace(PRESET, steps=5)
    before = torch.get_rng_state()
    first, again, other = (train(ATTENTION, run(seed=s), short, SIZES) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert replace(first, seconds=0) == replace(again, seconds=0)
    assert first.test_accuracy != other.test_accuracy


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_training_that_diverges_has_no_answer_right(optimizer: str) -> None:
    broken = replace(PRESET, optimizer=optimizer)
    outcome = train(FEED_FORWARD, run(rate=1e30), broken, SIZES)
    assert outcome.diverged and outcome.steps < broken.steps_of(MEMORIZATION)
    accuracies = (outcome.validation_accuracy, outcome.test_accuracy, outcome.test_macro_accuracy)
    assert accuracies == (0, 0, 0)


def test_batches_have_every_instance_once_an_epoch() -> None:
    config = training_config(run(), replace(PRESET, steps=9, batch_size=4), "star", "cpu")
    inputs = torch.arange(10)[:, None]
    batches = [b.inputs.flatten().tolist() for b in _batches(Instances(inputs, inputs), config, 0)]
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [list(chain(*batches[first : first + 3])) for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_the_rate_is_torchs_cosine_down_to_one_millionth(protocol: str) -> None:
    config = training_config(run(rate=1e-3), replace(PRESET, steps=50), protocol, "cpu")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=1e-6)
    for step in range(50):
        assert learning_rate_at(step, config) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert tuple(config.betas) == {"paper": (0.9, 0.98), "code": (0.9, 0.999)}[protocol]
    assert math.isinf(config.gradient_clip)


def inner_widths(model: LanguageModel) -> list[int]:
    return [liv.output.in_features for liv in model.livs]


@pytest.mark.parametrize(("protocol", "inner"), [("star", 344), ("paper", 512), ("code", 352)])
def test_feed_forward_widths_of_the_protocols(protocol: str, inner: int) -> None:
    """At width 128: 8/3 rounded up to 8, 4 times, and 8/3 rounded up to 16."""
    sizes = ModelConfig(width=128)
    model = build_model(CONVOLUTION, MEMORIZATION, sizes, PROTOCOLS[protocol])
    assert isinstance(model, LanguageModel)
    assert inner_widths(model) == [128, inner]
    assert model(torch.zeros(1, 4, dtype=torch.int64)).shape == (1, 4, 16)


def test_tied_weights_stay_tied_in_another_width() -> None:
    tied = Genome.from_text("91211-71111-91211")  # the featurizers of both feed-forward LIVs
    model = build_model(tied, MEMORIZATION, ModelConfig(width=128), PROTOCOLS["paper"])
    assert isinstance(model, LanguageModel)
    first, _, last = (liv.featurizer.groups["V"] for liv in model.livs)
    assert first is last and inner_widths(model) == [512, 128, 512]


def test_initial_weights_of_the_protocols() -> None:
    """Paper: normal with .02; code: torch's uniform up to 1/sqrt(inputs); norms and the biases of
    step sizes stay."""
    mamba = Genome.from_text("51111-91111")
    for protocol, expected in (("paper", 0.02), ("code", 1 / math.sqrt(128) / math.sqrt(3))):
        torch.manual_seed(0)
        model = build_model(mamba, MEMORIZATION, ModelConfig(width=128), PROTOCOLS[protocol])
        assert isinstance(model, LanguageModel)
        assert float(model.livs[0].output.weight.detach().std()) == pytest.approx(
            expected, rel=0.03
        )
        biased = [m for m in model.modules() if isinstance(m, nn.Linear) and m.bias is not None]
        steps = torch.cat([nn.functional.softplus(layer.bias.detach()) for layer in biased])
        assert len(biased) == 1 and 1e-4 <= float(steps.min()) <= float(steps.max()) <= 0.11
    coded = build_model(mamba, COMPRESSION, ModelConfig(width=128), PROTOCOLS["code"])
    assert isinstance(coded, AutoEncoder)
    assert float(coded.backbone.livs[0].output.weight.detach().std()) == pytest.approx(
        0.02, rel=0.03
    )


def test_an_auto_encoder_reads_the_last_position_alone() -> None:
    """A backbone without memory knows nothing of the tokens before the last; a convolution does."""
    tokens = COMPRESSION.instances(16, 0, "train").inputs
    for genome, reads in ((FEED_FORWARD, False), (CONVOLUTION, True)):
        torch.manual_seed(0)
        model = build_model(genome, COMPRESSION, SIZES, PROTOCOLS["star"])
        logits = model(tokens)
        assert logits.shape == (16, 8, 8)
        assert torch.allclose(logits, logits[:1].expand_as(logits), atol=1e-6) != reads
        assert not torch.allclose(logits[:, 0], logits[:, 1])  # positions differ


def test_compression_is_learnt_as_far_as_the_backbone_remembers() -> None:
    preset = replace(PRESET, steps=100)
    accuracies = [
        train(genome, run(replace(COMPRESSION, length=3)), preset, SIZES).test_accuracy
        for genome in (FEED_FORWARD, CONVOLUTION)
    ]
    assert accuracies[0] < 0.6 and accuracies[1] > 0.9  # 1/3, for the last, and chance; all


def test_sinusoids_turn_one_radian_a_position_at_first() -> None:
    found = sinusoids(5, 8)
    assert found.shape == (5, 8)
    assert torch.allclose(found[:, 0], torch.sin(torch.arange(5.0)))
    assert torch.allclose(found[:, 4], torch.cos(torch.arange(5.0)))
    assert torch.allclose(found[:, 3], torch.sin(torch.arange(5.0) / 10000))
    assert torch.allclose(found[:, :4].square() + found[:, 4:].square(), torch.ones(5, 4))
