"""One training on one setting, and what the model answers after it."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from star.data.mad import IGNORED, Instances
from star.data.mad.instances import TEST, TRAIN, VALIDATION
from star.evaluation.mad.model import build_model
from star.evaluation.mad.presets import Preset
from star.evaluation.mad.protocols import PROTOCOLS
from star.evaluation.mad.scoring import MACRO_BATCH, macro_accuracy, micro_accuracy
from star.evaluation.mad.settings import Setting
from star.genomes import Genome, ModelConfig
from star.training import TrainingConfig
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


def _batches(instances: Instances, size: int, seed: int) -> Iterator[Instances]:
    """Batches without end, every instance once an epoch, in an order that the seed draws."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for chosen in torch.randperm(len(instances), generator=generator).split(size):
            yield Instances(instances.inputs[chosen], instances.targets[chosen])


def _autocast(config: TrainingConfig, device: torch.device) -> contextlib.AbstractContextManager:
    dtype = config.autocast_dtype(device)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@torch.no_grad()
def answers(
    model: nn.Module, instances: Instances, config: TrainingConfig, device: torch.device
) -> torch.Tensor:
    """The most likely token at each position, int64 (instances, positions) on the CPU."""
    model.eval()
    predicted = []
    for inputs in instances.inputs.split(MACRO_BATCH):
        with _autocast(config, device):
            predicted.append(model(inputs.to(device)).argmax(dim=-1).cpu())
    model.train()
    return torch.cat(predicted)


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
    setting, start = run.setting, time.process_time()
    config = training_config(run, preset, protocol, device)
    instances = _instances(setting, setting.examples, run.seed, TRAIN)
    validation = _instances(setting, preset.held_out, run.seed, VALIDATION)
    test = _instances(setting, preset.held_out, run.seed, TEST)
    torch.manual_seed(run.seed)
    place = config.torch_device()
    model = build_model(genome, setting, sizes, PROTOCOLS[protocol]).to(place).train()

    look_every = max(LEAST_STEPS, -(-setting.examples // preset.batch_size))
    steps, accuracy, is_finite = 0, 0.0, True
    for step, is_finite in enumerate(_steps(model, instances, config, run.seed), start=1):
        steps = step
        if is_finite and (step % look_every == 0 or step == config.steps):
            found = answers(model, validation, config, place)
            accuracy = micro_accuracy(found, validation.targets)
            if accuracy >= SOLVED:
                break
    found = answers(model, test, config, place)
    right = (accuracy, micro_accuracy(found, test.targets), macro_accuracy(found, test.targets))
    right = right if is_finite else (0.0, 0.0, 0.0)
    return Outcome(run, steps, not is_finite, *right, seconds=time.process_time() - start)


def _steps(
    model: nn.Module, instances: Instances, config: TrainingConfig, seed: int
) -> Iterator[bool]:
    """Train in place; gives for each step whether it was finite, and ends with one that was not."""
    optimizer = make_optimizer(model, config)
    device = next(model.parameters()).device
    batches = _batches(instances, config.batch_size, seed)
    for step in range(config.steps):
        set_learning_rate(optimizer, learning_rate_at(step, config))
        batch = next(batches)
        with _autocast(config, device):
            logits = model(batch.inputs.to(device))
        targets = batch.targets.to(device).flatten()
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORED)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        if not (math.isfinite(loss.item()) and math.isfinite(float(norm))):
            yield False
            return
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield True
