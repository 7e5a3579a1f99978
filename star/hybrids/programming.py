"""Programming: a mixture found on small hybrids that learn synthetic tasks, reused on large ones.

Each component is stood for by a small fresh model of its family: the first LIVs of its genome, at a
narrow width. The mixture of their hybrid is searched with DARTS on each task of MAD (arXiv
2403.17844), and the mean of all is the mixture of the pretrained ones (Manticore, arXiv 2406.00894,
section 3.4).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pandas as pd
import torch
from torch import nn

from star.base import files
from star.base.csv_files import csv_text, read_csv
from star.base.errors import UserError, plain
from star.base.files import writing
from star.base.random_numbers import seeded
from star.data.mad import Instances
from star.data.mad.instances import TRAIN, VALIDATION
from star.evaluation.mad import PRESETS, Setting
from star.evaluation.mad.model import AutoEncoder
from star.evaluation.mad.settings import COMPRESSION
from star.evaluation.probing import answer_loss, train_on_instances
from star.genomes import check_fits, fit_depth
from star.genomes.hybrids import Component, GenomeComponent, Hybrid
from star.genomes.model_config import OPTIONAL
from star.models.hybrid import HybridModel
from star.training import TrainingConfig
from star.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate

from .config import MAD, ProgrammingConfig
from .discretise import Rows
from .mixtures import Darts
from .search import mixture_gradient

FILE = "programming.csv"
COLUMNS = ("task", "seed", "block", "number", "weight")
FINAL_FRACTION = 0.01  # of the learning rate, at the end of its cosine
MIXTURE_SEED = 1  # of batches that the mixture is trained on, beside the seed of instances


def small_component(component: Component, config: ProgrammingConfig, vocabulary: int) -> Component:
    """What stands for a component. Raises `UserError` for one without genome, and `GenomeError` for
    one that cannot be so narrow."""
    if not isinstance(component, GenomeComponent):
        raise UserError(
            f"hybrid.method={MAD}: {component.name} has no genome to make a small model of; choose "
            "another method, or adopt it (star.adopt)"
        )
    genome = fit_depth(component.genome, config.depth).canonical()
    sizes = replace(
        component.sizes,
        width=config.width,
        vocabulary=vocabulary,
        tie_embeddings=False,
        **dict.fromkeys(OPTIONAL),
    )
    check_fits(genome, sizes)
    return replace(component, genome=genome, sizes=sizes)


def small_hybrid(hybrid: Hybrid, config: ProgrammingConfig, vocabulary: int) -> Hybrid:
    """The hybrid of small models; errors as `small_component`."""
    components = [small_component(one, config, vocabulary) for one in hybrid.components]
    return replace(hybrid, components=tuple(components), mixture=())


def _batches(instances: Instances, size: int, seed: int) -> Iterator[Instances]:
    """Without end: every instance once an epoch, in an order that the seed draws."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for chosen in torch.randperm(len(instances), generator=generator).split(size):
            yield Instances(instances.inputs[chosen], instances.targets[chosen])


@dataclass(frozen=True)
class Programmed:
    """The mixture of one task, (blocks, components)."""

    task: str
    seed: int
    rows: Rows


class Program:
    """The search on one task, step by step."""

    def __init__(
        self, hybrid: Hybrid, setting: Setting, config: ProgrammingConfig, training: TrainingConfig
    ) -> None:
        """Build it; errors as `small_component`.

        Args:
            hybrid: the pretrained one.
            setting: of the task.
            config: of the small one.
            training: says on what device.
        """
        self._hybrid = small_hybrid(hybrid, config, setting.vocabulary)
        self._setting, self._config = setting, config
        self._training = TrainingConfig(
            steps=config.steps,
            batch_size=config.batch_size,
            length=setting.length,
            learning_rate=config.learning_rate,
            weight_decay=0.0,
            warmup_steps=0,
            schedule="cosine",
            final_fraction=FINAL_FRACTION,
            device=training.device,
            precision=training.precision,
        )
        shape = (hybrid.blocks, len(hybrid.components))
        self._mixture = Darts(shape, config.mixture_learning_rate, training.torch_device())

    def losses(self, seed: int) -> Iterator[float]:
        """Make the steps, and give each one's loss of the weights. Raises `Diverged`."""
        training, mixture, device = self._training, self._mixture, self._training.torch_device()
        with seeded(seed, device):
            mixed, model = self._models()
        model.to(device)
        text, other = (self._drawn(split, seed).to(device) for split in (TRAIN, VALIDATION))
        batches = _batches(text, training.batch_size, seed)
        held_out = _batches(other, training.batch_size, seed + MIXTURE_SEED)
        optimizer = make_optimizer(model, training)
        set_learning_rate(optimizer, learning_rate_at(0, training))
        mixed.weights = mixture.weights().detach()
        steps = train_on_instances(model, batches, optimizer, training.gradient_clip)
        for step in range(1, training.steps + 1):
            loss = next(steps)
            self._mix(mixed, model, next(held_out))
            mixed.weights = mixture.weights().detach()
            set_learning_rate(optimizer, learning_rate_at(step, training))
            yield loss

    def _drawn(self, split: str, seed: int) -> Instances:
        return self._setting.instances(self._setting.examples, seed, split)

    def _models(self) -> tuple[HybridModel, nn.Module]:
        """The hybrid, and what answers: the same, or for compression an auto-encoder of it."""
        mixed = HybridModel(self._hybrid, self._mixture.weights().tolist())
        if self._setting.task != COMPRESSION:
            return mixed, mixed
        mixed.drop_heads()
        return mixed, AutoEncoder(mixed, self._hybrid.width, self._setting.vocabulary)

    def _mix(self, mixed: HybridModel, model: nn.Module, batch: Instances) -> None:
        mixture = self._mixture
        losses: list[Callable[[], torch.Tensor]] = [lambda: answer_loss(model, batch)]
        gradient, _ = mixture_gradient(mixed, mixture.values, mixture.weights(), losses)
        mixture.update(gradient)

    def found(self) -> Rows:
        """The mixture, (blocks, components)."""
        return self._mixture.weights().detach().double().cpu().tolist()


class Programming:
    """The searches of all tasks and seeds; each that is finished is kept in a folder."""

    def __init__(
        self, hybrid: Hybrid, config: ProgrammingConfig, training: TrainingConfig, folder: Path
    ) -> None:
        """Build it. Raises `UserError` for a file of the folder that cannot be read, and as
        `small_component`."""
        settings = {setting.task: setting for setting in PRESETS["quick"].settings}
        self._all = [(task, seed) for task in config.chosen for seed in dict.fromkeys(config.seeds)]
        self._programs = [
            Program(hybrid, settings[task], config, training) for task, _ in self._all
        ]
        self._steps, self._path = config.steps, folder / FILE
        self._found = _read(self._path, (hybrid.blocks, len(hybrid.components)))
        self._under_way = 0  # steps of the search that is not finished

    @property
    def total(self) -> int:
        """Steps of all searches."""
        return len(self._all) * self._steps

    def done(self) -> int:
        """Steps that are finished."""
        return len(self._found) * self._steps + self._under_way

    def losses(self) -> Iterator[float]:
        """Make what is missing, and give the loss of each step. Raises `Diverged`."""
        there = {(one.task, one.seed) for one in self._found}
        for (task, seed), program in zip(self._all, self._programs, strict=True):
            if (task, seed) in there:
                continue
            for loss in program.losses(seed):
                self._under_way += 1
                if self._under_way == self._steps:
                    self._keep(Programmed(task, seed, program.found()))
                yield loss

    def _keep(self, one: Programmed) -> None:
        self._found.append(one)
        self._under_way = 0
        rows = [
            {"task": p.task, "seed": p.seed, "block": block, "number": number, "weight": weight}
            for p in self._found
            for block, row in enumerate(p.rows)
            for number, weight in enumerate(row)
        ]
        with writing(self._path.parent):
            files.write_text(self._path, csv_text(COLUMNS, rows))

    def mean(self) -> tuple[tuple[float, ...], ...]:
        """The mean of all mixtures, (blocks, components), each row with a sum of 1."""
        blocks = zip(*(one.rows for one in self._found), strict=True)
        rows = [[fmean(column) for column in zip(*block, strict=True)] for block in blocks]
        return tuple(tuple(weight / sum(row) for weight in row) for row in rows)


def _read(path: Path, shape: Sequence[int]) -> list[Programmed]:
    """The mixtures of a file; none where there is none."""
    if not path.exists():
        return []
    try:
        table = read_csv(path)
        found = []
        keys = table[["task", "seed"]].drop_duplicates().itertuples(index=False)
        for task, seed in keys:
            part = table[(table["task"] == task) & (table["seed"] == seed)]
            ordered = part.sort_values(["block", "number"])["weight"]
            rows = ordered.to_numpy().reshape(tuple(shape)).tolist()
            found.append(Programmed(str(task), int(seed), rows))
        return found
    except (OSError, ValueError, KeyError, TypeError, pd.errors.ParserError) as error:
        raise UserError(
            f"{path}: not readable as what was found on tasks ({plain(error)}); delete it to find "
            "it anew"
        ) from None
