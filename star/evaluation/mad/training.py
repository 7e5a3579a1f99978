"""One training on one setting, and what the model answers after it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from star.base.random_numbers import seeded
from star.data.mad import Instances
from star.data.mad.instances import TEST, TRAIN, VALIDATION
from star.evaluation.mad.model import build_model
from star.evaluation.mad.presets import Preset
from star.evaluation.mad.protocols import PROTOCOLS
from star.evaluation.mad.scoring import MACRO_BATCH, macro_accuracy
from star.evaluation.mad.settings import Setting
from star.evaluation.probing import answers, micro_accuracy, train_on_instances
from star.genomes import Genome, ModelConfig
from star.training import Diverged, TrainingConfig
from star.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate

LAST_LEARNING_RATE = 1e-6
SOLVED = 0.999  # validation accuracy at which a training ends
LEAST_STEPS = 50  # between two looks at it


@dataclass(frozen=True)
class Run:
    """One training: a setting and what is chosen between."""

    setting: Setting
    learning_rate: float
    weight_decay: float
    seed: int  # of instances, weights and batches


@dataclass(frozen=True)
class Outcome:
    """What became of a run; all accuracies are 0 where it diverged."""

    run: Run
    steps: int  # that were made
    diverged: bool
    validation_accuracy: float  # micro, as all but the one named macro
    test_accuracy: float
    test_macro_accuracy: float  # as mad-lab counts
    seconds: float  # of the process, in all threads


@lru_cache(maxsize=3)
def _instances(setting: Setting, count: int, seed: int, split: str) -> Instances:
    """The instances of a split; runs that differ in their rates read the same ones."""
    return setting.instances(count, seed, split)


def _batches(instances: Instances, config: TrainingConfig, seed: int) -> Iterator[Instances]:
    """A batch for each step, every instance once an epoch, in an order that the seed draws."""
    generator, device = torch.Generator().manual_seed(seed), config.torch_device()
    left = config.steps
    while left:
        order = torch.randperm(len(instances), generator=generator).split(config.batch_size)
        for chosen in order[:left]:
            yield Instances(instances.inputs[chosen], instances.targets[chosen]).to(device)
        left -= len(order[:left])


def training_config(run: Run, preset: Preset, protocol: str, device: str) -> TrainingConfig:
    """The settings of a run's training."""
    chosen = PROTOCOLS[protocol]
    return TrainingConfig(
        steps=preset.steps_of(run.setting),
        batch_size=preset.batch_size,
        length=run.setting.length,
        optimizer=preset.optimizer,
        learning_rate=run.learning_rate,
        betas=list(chosen.betas),
        weight_decay=run.weight_decay,
        warmup_steps=chosen.warmup_steps,
        schedule="cosine",
        final_fraction=min(1.0, LAST_LEARNING_RATE / run.learning_rate),
        gradient_clip=chosen.gradient_clip,
        device=device,
    )


def train(
    genome: Genome,
    run: Run,
    preset: Preset,
    sizes: ModelConfig,
    protocol: str = "star",
    device: str = "auto",
) -> Outcome:
    """Train a fresh model and count what it answers.

    It ends before its steps are done when the validation split is solved, which is looked at once
    an epoch, or less often where an epoch has few steps (mad-lab looks at the test split).

    Args:
        genome: the backbone.
        run: what to train on, and how.
        preset: steps, batches and held-out instances.
        sizes: of the model; the vocabulary is the setting's.
        protocol: a key of `PROTOCOLS`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        GenomeError: for a genome that is invalid or does not fit the sizes.
        UserError: for a setting that no sequence has.
    """
    start = time.process_time()
    config = training_config(run, preset, protocol, device)
    place = config.torch_device()
    with seeded(run.seed, place):
        model = build_model(genome, run.setting, sizes, PROTOCOLS[protocol])
        training = _Training(model.to(place), run, preset, config)
        with config.autocast(place):
            diverged = not training.finish()
            right = (0.0, 0.0, 0.0) if diverged else (training.accuracy, *training.test())
    return Outcome(run, training.step, diverged, *right, seconds=time.process_time() - start)


@dataclass
class _Training:
    """A run under way."""

    model: nn.Module
    run: Run
    preset: Preset
    config: TrainingConfig
    step: int = 0  # that were made
    accuracy: float = 0.0  # on the validation split, when it was last looked at

    def _held_out(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Answers and targets of a split."""
        instances = _instances(self.run.setting, self.preset.held_out, self.run.seed, split)
        return answers(self.model, instances.inputs, MACRO_BATCH), instances.targets

    def finish(self) -> bool:
        """Train in place until the steps are done or the task is solved; False if it diverged."""
        setting, config, seed = self.run.setting, self.config, self.run.seed
        instances = _instances(setting, setting.examples, seed, TRAIN)
        epoch = -(-setting.examples // config.batch_size)
        look_every = max(LEAST_STEPS, epoch)
        optimizer = make_optimizer(self.model, config)
        set_learning_rate(optimizer, learning_rate_at(0, config))
        batches = _batches(instances, config, seed)
        try:
            for _ in train_on_instances(self.model, batches, optimizer, config.gradient_clip):
                self.step += 1
                if self.step % look_every == 0 or self.step == config.steps:
                    self.accuracy = micro_accuracy(*self._held_out(VALIDATION))
                if self.accuracy >= SOLVED:
                    break
                set_learning_rate(optimizer, learning_rate_at(self.step, config))
        except Diverged:
            return False
        return True

    def test(self) -> tuple[float, float]:
        """Micro and macro accuracy on the test split."""
        found = self._held_out(TEST)
        return micro_accuracy(*found), macro_accuracy(*found)
