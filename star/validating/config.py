"""Settings of a validation: those of the search, but for what is asked for otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from star.base.errors import UserError, plain
from star.base.ranges import Range, expect_ranges
from star.base.settings import LARGEST_SEED, flat
from star.evaluation.executors import EXECUTORS, ProcessesConfig
from star.evaluation.executors.base import ExecutorConfig
from star.evaluation.limits import LimitsConfig
from star.evaluation.recipe import MOST_SEEDS, DataConfig, TrainingConfig
from star.runs.origin import bound_settings
from star.runs.provenance import CONFIGURATION
from star.runs.run import Run
from star.search import EvolveConfig
from star.search.upgrade import upgrade_settings

RANGES = {"seeds": Range(1, MOST_SEEDS), "sample": Range(0, 10**6)}
# From a search's seed to the first one of its validation; no search takes so many further seeds.
FIRST_SEED = 10_000
TABLE = "table:"  # how the fingerprint of a table begins
TRAINED = ("training", "data")  # sections that are the search's unless something else is typed


@dataclass
class ValidationConfig:
    """What is trained again."""

    seeds: int = 3  # of each design, none of them the search's
    sample: int = 8  # designs beside front and baselines, spread over the quality of the rest
    # measured beside what the search measured, such as [harness_accuracy]
    also_measure: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("validation.", self, RANGES)


@dataclass(frozen=True)
class RunOrigin:
    """Settings that a validation takes over from the configuration of a run."""

    bound = staticmethod(bound_settings)

    source: str  # the file they stand in
    wanted: Mapping[str, Any]  # by dotted key


def read_run_settings(folder: str) -> RunOrigin:
    """Those of the run in a folder. Raises `UserError` when there is none."""
    run = Run.open(folder)
    settings = upgrade_settings(run.settings)
    sections = {name: settings.get(name, {}) for name in TRAINED}
    return RunOrigin(str(run.path / CONFIGURATION), flat(sections))


@dataclass
class ValidateConfig:
    """Train a search's front, baselines and others longer, with fresh seeds, on unseen text."""

    run: str = "???"  # folder of a search
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    # settings of objectives, by name, in place of the search's
    objectives: dict[str, Any] = field(default_factory=dict)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    executor: ExecutorConfig = field(default_factory=ProcessesConfig)
    # as in the search; training.steps=... must be more than there
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)

    GROUPS: ClassVar[Mapping[str, Mapping[str, type]]] = {
        "executor": {name: kind for name, kind in EXECUTORS.items() if name != "table"}
    }
    CHOICES: ClassVar[tuple[str, ...]] = ("executor", "data")
    ORIGIN_KEYS: ClassVar[tuple[str, ...]] = ("run",)
    origin = staticmethod(read_run_settings)

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        for part in (self.validation, self.limits, self.training, self.data):
            part.check()


def search_config(run: Run) -> EvolveConfig:
    """The settings of a run's search, those of today that it does not have at their defaults.

    The executor is left out: results do not depend on it. Raises `UserError` where the run's
    configuration is none of a search, or of one that trained nothing.
    """
    settings = upgrade_settings(run.settings)
    known = {field.name for field in fields(EvolveConfig)} - {"executor"}
    if not known <= settings.keys():
        raise UserError(f"run={run.path}: its {CONFIGURATION} is not that of a search")
    if str(settings.get("data_fingerprint", "")).startswith(TABLE):
        raise UserError(
            f"run={run.path}: its losses were looked up in a table (executor=table), so that "
            "nothing was trained that could be trained longer; validate a search that trains"
        )
    try:
        given = OmegaConf.create({name: settings[name] for name in known})
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(EvolveConfig), given))
    except OmegaConfBaseException as error:
        raise UserError(f"{run.path / CONFIGURATION}: cannot be used ({plain(error)})") from None
    assert isinstance(config, EvolveConfig)
    return config


def fresh_seeds(search: int, count: int) -> list[int]:
    """So many seeds that the search with this seed did not use."""
    above = search + FIRST_SEED
    first = above if above + count <= LARGEST_SEED else search - FIRST_SEED - count
    return [first + number for number in range(count)]
