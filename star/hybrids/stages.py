"""The stages of a hybrid's making in its folder: projectors, the mixture, the genome of it.

Each leaves a file when it is finished, and a state to go on from until then; one that finds its
file is done. Weights that a search trains are thrown away: the hybrid begins again as it was
pretrained.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

from star.base import files
from star.base.csv_files import csv_text, read_csv
from star.base.errors import UserError, plain
from star.base.files import named_weights, remove_leftovers, write_tensors, writing
from star.data import Corpus
from star.genomes import Genome, GenomeFile, genome_file_text
from star.genomes.hybrids import Hybrid, HybridAlphabet, beside, write_hybrid
from star.models.hybrid import HybridModel
from star.models.hybrid.mixture import PROJECTORS_FILE, load_components
from star.models.hybrid.own_weights import DIGEST, digest_of
from star.runs.origin import origin_settings
from star.training import Trainer, TrainingConfig, load_state, save_state
from star.training_runs import Stage, show_steps

from .config import GIVEN, MAD, NONE, UNIFORM, HybridizeConfig
from .costs import penalty
from .discretise import found_letters, genome_of, limit_of, nearest_letters
from .mixtures import METHODS
from .programming import Programming
from .search import MixtureSearch, SearchStep
from .text import parts

GENOME = "genome.yaml"
MIXTURE = "mixture.csv"
SEARCH_LOG = "search.csv"
PROJECTOR_STATE, SEARCH_STATE = "projectors_state.safetensors", "search_state.safetensors"
BLOCK, LETTER, WAS_FOUND = "block", "letter", "found_"  # columns of `mixture.csv`, and a beginning
Mix = tuple[tuple[float, ...], ...]  # (blocks, components)


@dataclass(frozen=True)
class Making:
    """A hybrid under way."""

    config: HybridizeConfig
    folder: Path
    hybrid: Hybrid  # without a mixture
    corpus: Corpus
    console: Console

    @property
    def uniform(self) -> Mix:
        """All components alike, in each block."""
        count = len(self.hybrid.components)
        return ((1 / count,) * count,) * self.hybrid.blocks

    def model(self) -> HybridModel:
        """All components in all blocks as they were pretrained, with projectors that were trained
        before or that the seed draws."""
        torch.manual_seed(self.config.seed)
        model = HybridModel(self.hybrid, self.uniform)
        load_components(model, self.folder)
        return model

    def training(self, steps: int) -> TrainingConfig:
        """The settings of a stage's training."""
        return replace(self.config.training, steps=steps)

    def run(self, stage: Stage, advance: Callable[[], float]) -> None:
        """Make the steps of a stage that are left, with a progress bar, saving on the way."""

        def losses() -> Iterator[float]:
            while stage.done() < stage.total:
                loss = advance()
                if stage.done() % self.config.checkpoint_every == 0:
                    stage.save()
                yield loss

        show_steps(stage, losses(), self.console)


def remove(path: Path) -> None:
    """Remove the state of a stage that is finished, and what was half written of it."""
    with writing(path.parent):
        path.unlink(missing_ok=True)
        remove_leftovers(path.parent, path.name.replace(".", r"\."))


def train_projectors(making: Making) -> None:
    """Stage 1: train projectors alone, components and ends frozen, at the uniform mixture.

    Raises `Diverged`, and `UserError` for a state that cannot be read.
    """
    path, state = making.folder / PROJECTORS_FILE, making.folder / PROJECTOR_STATE
    steps = making.config.hybrid.projector_steps
    if not path.exists():
        model = making.model()
        if steps:
            freeze_all_but_projectors(model)
            trainer = Trainer(model, making.corpus, making.training(steps), making.config.seed)
            if state.exists():
                load_state(state, trainer)
            _train(making, trainer, state)
        with writing(making.folder):
            weights = projector_weights(model)
            write_tensors(path, weights, {DIGEST: digest_of(weights)})
    remove(state)


def _train(making: Making, trainer: Trainer, state: Path) -> None:
    def save() -> None:
        with writing(making.folder):
            save_state(state, trainer)

    stage = Stage("projectors", trainer.config.steps, lambda: trainer.step, save)
    making.run(stage, lambda: trainer.advance().loss)


def freeze_all_but_projectors(model: HybridModel) -> None:
    """Let gradients reach projectors only."""
    model.requires_grad_(False)
    model.into.requires_grad_(True)
    model.out.requires_grad_(True)


def projector_weights(model: HybridModel) -> dict[str, torch.Tensor]:
    """Weights of all projectors, by the names of `star.models.hybrid.mixture.load_components`."""
    named = named_weights(model)
    return {name: w for name, w in named.items() if name.startswith(("into.", "out."))}


def find_mixture(making: Making) -> Mix:
    """Stage 2: the mixture as `hybrid.method` has it. Raises `Diverged` or `UserError`."""
    path, method = making.folder / MIXTURE, making.config.hybrid.method
    if path.exists():
        return read_mixture(path, making.hybrid)
    if method == UNIFORM:
        return making.uniform
    if method == GIVEN:
        rows = making.config.hybrid.given_mixture()
        return tuple(tuple(weight / sum(row) for weight in row) for row in rows)
    return _programmed(making) if method == MAD else _searched(making)


def _programmed(making: Making) -> Mix:
    config = making.config
    programming = Programming(
        making.hybrid, config.hybrid.programming, config.training, making.folder
    )
    stage = Stage("programming", programming.total, programming.done, lambda: None)
    show_steps(stage, programming.losses(), making.console)
    return programming.mean()


def build_search(making: Making) -> MixtureSearch:
    """A fresh search. Raises `UserError` for a text that is too short."""
    config, hybrid = making.config.hybrid, making.hybrid
    training = making.training(config.search_steps)
    own, other = parts(making.corpus, training.length)
    trainer = Trainer(making.model(), own, training, making.config.seed)
    shape = (hybrid.blocks, len(hybrid.components))
    mixture = METHODS[config.method](shape, config.learning_rate, trainer.device)
    return MixtureSearch(trainer, mixture, other, penalty(hybrid, config, making.config.cache))


def _searched(making: Making) -> Mix:
    search, state = build_search(making), making.folder / SEARCH_STATE
    log = SearchLog(making.folder / SEARCH_LOG, search)
    if state.exists():
        search.load(state)
        log.read(search.step)

    def save() -> None:
        with writing(making.folder):
            log.save()
            search.save(state)

    def advance() -> float:
        result = search.advance()
        log.add(result)
        return result.mixture_loss

    total = making.config.hybrid.search_steps
    making.run(Stage("search", total, lambda: search.step, save), advance)
    with writing(making.folder):
        log.save()
    return search.found()


class SearchLog:
    """`search.csv`: losses, the expected cost and the mixture after each step."""

    def __init__(self, path: Path, search: MixtureSearch) -> None:
        self._path, self._search = path, search
        self._rows: list[dict[str, float]] = []

    def add(self, result: SearchStep) -> None:
        """A row."""
        rows, penalty = self._search.found(), self._search.penalty
        weights = {
            f"block{k}_{n}": weight for k, row in enumerate(rows) for n, weight in enumerate(row)
        }
        cost = {}
        if penalty is not None:
            cost = {"expected_cost": float(penalty.table.expected(torch.tensor(rows)))}
        self._rows.append({**vars(result), **cost, **weights})

    def save(self) -> None:
        """Write all rows."""
        columns = list(self._rows[-1]) if self._rows else []
        files.write_text(self._path, csv_text(columns, self._rows))

    def read(self, step: int) -> None:
        """Take the rows up to a step from the file. Raises `UserError` where it cannot be read."""
        try:
            table = read_csv(self._path)
            kept = table[table["step"] <= step].astype({"step": int})
        except (OSError, ValueError, KeyError, TypeError, pd.errors.ParserError) as error:
            raise UserError(
                f"{self._path}: not readable as the log of a search ({plain(error)}); delete "
                f"{SEARCH_STATE} beside it to search from the start"
            ) from None
        self._rows = [{str(k): v for k, v in row.items()} for row in kept.to_dict("records")]


def settle(making: Making, rows: Mix) -> tuple[Genome, Mix]:
    """Stage 3: the genome of a mixture, as letters of the hybrid, and the weights that it has.

    `hybrid.yaml`, `genome.yaml` beside it and, last, `mixture.csv` are written.
    """
    config = making.config
    is_soft = config.hybrid.discretise == NONE
    projectors, _ = files.read_tensors(making.folder / PROJECTORS_FILE)
    hybrid = replace(
        making.hybrid, mixture=rows if is_soft else (), projectors=digest_of(projectors)
    )
    with writing(making.folder):
        alphabet = write_hybrid(making.folder, hybrid)
        genome = genome_of(alphabet, _letters(alphabet, rows, making))
        settings = {"model": vars(hybrid.sizes), "cache": vars(config.cache)}
        settings |= {"training": vars(config.training), "data": vars(config.data)}
        content = GenomeFile(
            hybrid.name, beside(genome), settings=origin_settings(_plain(settings))
        )
        files.write_text(making.folder / GENOME, genome_file_text(content))
        weights = hybrid.weights(genome)
        files.write_text(making.folder / MIXTURE, _mixture_text(genome, rows, weights))
    remove(making.folder / SEARCH_STATE)
    return genome, weights


def _plain(settings: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {name: dict(values) for name, values in settings.items()}


def _letters(alphabet: HybridAlphabet, rows: Mix, making: Making) -> list[int]:
    path, config = making.folder / MIXTURE, making.config
    if path.exists():  # an earlier version may have chosen otherwise
        return read_letters(path, alphabet)
    kind = config.hybrid.discretise
    if kind == NONE:
        return found_letters(alphabet)
    return nearest_letters(alphabet, rows, kind, limit_of(config.hybrid, config.cache))


def _mixture_text(genome: Genome, found: Mix, weights: Mix) -> str:
    """A row a block: its letter, the weight of each component, and what was found for it before it
    was discretised."""
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    names = [component.name for component in hybrid.components]
    rows = [
        {
            BLOCK: block,
            LETTER: letter.name,
            **dict(zip(names, weights[block], strict=True)),
            **{f"{WAS_FOUND}{n}": w for n, w in zip(names, found[block], strict=True)},
        }
        for block, letter in enumerate(genome.classes())
    ]
    return csv_text(list(rows[0]), rows)


def read_mixture(path: Path, hybrid: Hybrid) -> Mix:
    """The mixture that was found, of `mixture.csv`. Raises `UserError` where it cannot be read."""
    columns = [f"{WAS_FOUND}{component.name}" for component in hybrid.components]
    with _reading(path):
        found = read_csv(path).sort_values(BLOCK)[columns].to_numpy(dtype=float)
        return tuple(map(tuple, found.reshape(hybrid.blocks, len(columns)).tolist()))


def read_letters(path: Path, alphabet: HybridAlphabet) -> list[int]:
    """The letters that were chosen, of `mixture.csv`; errors as `read_mixture`."""
    ids = {letter.name: letter.id for letter in alphabet.classes}
    with _reading(path):
        names = read_csv(path).sort_values(BLOCK)[LETTER]
        return [ids[name] for name in names]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pd.errors.ParserError) as error:
        raise UserError(
            f"{path}: not readable as a mixture ({plain(error)}); delete it to find it anew"
        ) from None


def distinct_names(given: Sequence[str]) -> list[str]:
    """Names of components: the last part of each path, with a number behind it where two are alike
    or it is a column of `mixture.csv`."""
    names = [Path(path).name or path for path in given]
    return [
        f"{name}_{number}"
        if names.count(name) > 1 or name in (BLOCK, LETTER) or name.startswith(WAS_FOUND)
        else name
        for number, name in enumerate(names)
    ]
