"""Settings of a search: the dataclasses are the defaults and carry the meaning, field by field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from star.base.errors import UserError
from star.base.loggers import check_loggers
from star.base.ranges import Range, expect_ranges
from star.base.settings import expect, expect_one_of, expect_seed, expect_utf8
from star.evaluation.executors import EXECUTORS, ProcessesConfig
from star.evaluation.executors.base import ExecutorConfig
from star.evaluation.limits import LimitsConfig
from star.evaluation.recipe import (
    CacheSetting,
    DataConfig,
    EvaluationConfig,
    SearchModelConfig,
    TrainingConfig,
)
from star.genomes import (
    ALPHABETS,
    Alphabet,
    GenomeError,
    check_depth,
    get_alphabet,
    with_operators,
)
from star.genomes.alphabets import HYBRID
from star.genomes.genome import MOST_LIVS
from star.search.halving import HalvingConfig
from star.search.prescreening.config import PrescreenConfig
from star.search.replication import ReplicationConfig
from star.search.stopping import StopConfig

DESIGNS = ("transformer_pp", "striped_mamba", "gqa_transformer", "lfm2", "mamba", "hyena")
ONE_SHOT, END_INCREMENTAL, MIDDLE_INCREMENTAL = MODES = (
    *("one_shot", "end_incremental", "middle_incremental"),
)
SPACE_RANGES = {"step": Range(1, MOST_LIVS), "stage_generations": Range(1, 10**9)}
RANGES = {"population": Range(1, 10**5), "generations": Range(1, 10**9)}
MOST_LIVS_AT_ONCE = 10**7
NSGA2 = "pymoo.algorithms.moo.nsga2.NSGA2"


@dataclass
class SpaceConfig:
    """Which genomes there are."""

    # LIV classes to choose from; or extended, released, <one>+operators; hybrid:<folder>
    alphabet: str = "star"
    classes: list[str] = field(default_factory=list)  # of the alphabet, by name; all when empty
    motif: int | None = None  # LIVs of a block that is evolved and repeated to the depth
    depths: list[int] = field(default_factory=list)  # [least, most] LIVs, which then vary
    # one_shot; or end_incremental, middle_incremental: the best backbone so far is fixed, and LIVs
    # behind it, or in its middle, are searched
    mode: str = ONE_SHOT
    # where norms stand, and how much LIVs add, evolve too: genes of the backbone beside its LIVs
    backbone_genes: bool = False
    step: int = 2  # LIVs that a stage of the other modes adds
    stage_generations: int = 4  # of a stage; the last one has the rest

    def check(self, depth: int) -> None:
        """Raise `UserError` for the first value that cannot be used. depth: of the baselines."""
        if self.motif is not None:
            expected = f"from 1 to depth={depth} LIVs, or null"
            expect("search.space.motif", self.motif, 1 <= self.motif <= depth, expected)
        if self.depths:
            fits = len(self.depths) == 2 and 1 <= self.depths[0] <= self.depths[1] <= MOST_LIVS
            expected = (
                f"[least, most], such as [4,12], with 1 <= least <= most <= {MOST_LIVS:,}, or []"
            )
            expect("search.space.depths", self.depths, fits, expected)
        if self.depths and self.motif is not None:
            raise UserError(
                f"search.space.motif={self.motif}: not together with "
                f"search.space.depths={self.depths}; set one only"
            )
        expect_one_of("search.space.mode", self.mode, MODES)
        expect_ranges("search.space.", self, SPACE_RANGES)
        if self.mode != ONE_SHOT:
            self._check_growing(depth)
        self.base_alphabet()

    def _check_growing(self, depth: int) -> None:
        expected = f"below depth={depth}, which is reached in steps of so many LIVs"
        expect("search.space.step", self.step, self.step < depth, expected)
        for name in ("motif", "depths"):
            value = getattr(self, name)
            if value:
                raise UserError(
                    f"search.space.{name}={value}: not together with search.space.mode={self.mode},"
                    " which sets the number of LIVs; set one only"
                )

    def base_alphabet(self) -> Alphabet:
        """The classes that random genomes are made of. Raises `UserError` for an unknown one."""
        try:
            alphabet = get_alphabet(self.alphabet)
        except GenomeError as error:
            if self.alphabet.startswith(HYBRID):
                raise UserError(f"search.space.{error}") from None
            raise UserError(
                f"search.space.alphabet={self.alphabet}: expected one of {', '.join(ALPHABETS)}, "
                f"or {HYBRID} and the folder of a hybrid"
            ) from None
        try:
            return alphabet.restricted(self.classes)
        except GenomeError as error:
            raise UserError(f"search.space.classes={self.classes}: {error}") from None


@dataclass
class VariationConfig:
    """How children come from their parents."""

    crossover_points: int = 2  # cuts between LIVs
    crossover_probability: float = 0.9  # that a pair of parents is crossed
    mutation_probability: float = 0.1  # of each gene
    constrained_mutation: bool = True  # draw only values that keep a genome valid
    # that LIVs are copied and groups joined or left, instead of single genes mutated
    sharing_mutation_probability: float = 0.5  # (experiments/tabular)
    sharing_probability: float = 0.25  # of random genomes, for either kind of sharing
    depth_probability: float = 0.1  # with space.depths: that a LIV is gained, lost or duplicated
    operator_probability: float = 0.0  # of each LIV: that its operator changes to any valid one

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_ranges("search.variation.", self, {"crossover_points": Range(1, MOST_LIVS)})
        for name, value in vars(self).items():
            if name.endswith("_probability"):
                expected = "a probability from 0 to 1"
                expect(f"search.variation.{name}", value, 0 <= value <= 1, expected)


@dataclass
class SearchConfig:
    """The evolution."""

    objectives: list[str] = field(default_factory=list)  # to minimise: names, or module:Class
    also_measure: list[str] = field(default_factory=list)  # further ones, for reports and limits
    population: int = 16  # candidates of a generation
    generations: int = 18  # the first is the initial population
    seeds: list[str] = field(default_factory=list)  # designs, genome files, folders, CSVs, runs
    # trained for comparison: designs, genome files, folders of them, runs (their fronts)
    baselines: list[str] = field(default_factory=lambda: list(DESIGNS))
    # a pymoo algorithm, `_target_`, and its own arguments; tournament_size: individuals that
    # compete to be a parent, where parents are selected by tournament
    algorithm: dict[str, Any] = field(default_factory=lambda: {"_target_": NSGA2})
    space: SpaceConfig = field(default_factory=SpaceConfig)
    variation: VariationConfig = field(default_factory=VariationConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    halving: HalvingConfig = field(default_factory=HalvingConfig)
    replication: ReplicationConfig = field(default_factory=ReplicationConfig)
    prescreen: PrescreenConfig = field(default_factory=PrescreenConfig)

    def check(self, depth: int) -> None:
        """Raise `UserError` for the first value that cannot be used. depth: of the baselines."""
        expect_ranges("search.", self, RANGES)
        if "_target_" not in self.algorithm:
            raise UserError(
                "search.algorithm._target_ is not set: expected a pymoo algorithm, see conf/search"
            )
        self.space.check(depth)
        livs = max([depth, *self.space.depths]) * self.population
        expected = f"at most {MOST_LIVS_AT_ONCE:,} LIVs in a generation"
        expect("search.population", self.population, livs <= MOST_LIVS_AT_ONCE, expected)
        self.variation.check()
        self.stop.check()
        self.replication.check()
        self.prescreen.check()

    def alphabet(self) -> Alphabet:
        """All classes that candidates may have: every valid operator's, where operators evolve.

        Raises `UserError` as `SpaceConfig.base_alphabet`.
        """
        base = self.space.base_alphabet()
        return with_operators(base) if self.variation.operator_probability > 0 else base


# Settings that were called otherwise, for those who type them still and for folders of before.
MOVED = {
    "space": ("alphabet", "classes", "motif", "depths"),
    "variation": (
        *("crossover_points", "crossover_probability", "mutation_probability"),
        *("constrained_mutation", "sharing_mutation_probability", "sharing_probability"),
        *("depth_probability", "operator_probability"),
    ),
    "algorithm": ("tournament_size", "elitism", "scalarisation", "weights"),
}
RENAMED = {
    **{f"search.{key}": f"search.{group}.{key}" for group, keys in MOVED.items() for key in keys},
    **{key: f"executor.{key}" for key in ("workers", "workers_per_gpu", "threads_per_worker")},
    "search.evaluator": "executor=table or executor=processes",
    "search.table": "executor.path, with executor=table",
}


@dataclass
class EvolveConfig:
    """Evolve architectures and leave a Pareto front in a run folder."""

    experiment_name: str = "search"  # names the run folder
    run_dir: str | None = None  # null: runs/<experiment_name>/<date_time>
    seed: int = 0  # of the search, of every candidate's weights and of its batches
    depth: int = 8  # LIVs of a backbone
    width: int = 64  # of the model: model.width
    context: int = 4096  # positions the cache objective counts: cache.context
    ledger: str = "run"  # run: in the run folder; shared: one for all runs of this user; or a path
    report: bool = True  # keep report.html in the run folder, the page of the search, up to date
    # that are told of every generation beside the run folder: tensorboard, wandb, mlflow
    loggers: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: SearchModelConfig = field(default_factory=SearchModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    constraints: dict[str, Any] = field(default_factory=dict)  # largest value by objective: 4MB
    objectives: dict[str, Any] = field(default_factory=dict)  # settings of objectives, by name
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    executor: ExecutorConfig = field(default_factory=ProcessesConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    data: DataConfig = field(default_factory=DataConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    GROUPS: ClassVar[Mapping[str, Mapping[str, type]]] = {"executor": EXECUTORS}
    CHOICES: ClassVar[tuple[str, ...]] = ("+experiment", "scale", "search", "executor", "data")
    RENAMED: ClassVar[Mapping[str, str]] = RENAMED

    def check(self) -> None:
        """Raise `UserError` or `GenomeError` for the first value that cannot be used."""
        check_depth(self.depth)
        for part in (self.model, self.cache, self.training, self.evaluation, self.data):
            part.check()
        expect_seed(self.seed)
        for name in ("run_dir", "experiment_name"):
            expect_utf8(name, getattr(self, name))
        check_loggers(self.loggers)
        self.search.check(self.depth)
        self.limits.check()
        once = self.evaluation.seeds == 1 or not self.search.replication.most
        expected = f"0 with evaluation.seeds={self.evaluation.seeds}, which is the same for all"
        expect("search.replication.most", self.search.replication.most, once, expected)
        expect_seed(self.seed + self.search.replication.most)
        self.search.halving.check(self.training.steps)
