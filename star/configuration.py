"""The structured configuration of a search: every key, its default and its meaning. Unknown keys are rejected."""

from dataclasses import dataclass, field
from typing import Any

from star.genomes import ModelConfig

from star.data.config import DataConfig
from star.training.config import TrainingConfig


@dataclass
class CacheConfig:
    """What the static cache objective is computed for: positions, sequences, and the dtype of the elements."""

    context: int = 4096
    batch: int = 1
    dtype: str = "bfloat16"


@dataclass
class SearchConfig:
    """The evolution.

    algorithm: `_target_` of any pymoo algorithm and its own arguments. objectives: names from
    `star.evaluation.objectives`. population, generations: the first generation is the initial population.
    crossover_points, crossover_probability, mutation_probability (per gene): variation. constrained_mutation: draw
    only values that keep a genome valid. sharing_probability: of random genomes. seeds: library names, genome files,
    folders and CSVs for the initial population. baselines: library names trained beside it for comparison.
    """

    algorithm: dict[str, Any] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    alphabet: str = "star"
    population: int = 16
    generations: int = 18
    crossover_points: int = 2
    crossover_probability: float = 0.9
    mutation_probability: float = 0.1
    constrained_mutation: bool = True
    sharing_probability: float = 0.25
    seeds: list[str] = field(default_factory=list)
    baselines: list[str] = field(default_factory=list)


@dataclass
class EvolveConfig:
    """One search. experiment_name names the run folder, `runs/<experiment_name>/<date_time>` unless run_dir is set.

    depth: LIVs of a backbone. width: model width. context: positions the cache objective counts. workers: `auto`
    or a number of processes. workers_per_gpu: for `auto` with GPUs. threads_per_worker: fixed, so that results do not
    depend on the number of workers.
    """

    experiment_name: str = "search"
    run_dir: str | None = None
    seed: int = 0
    depth: int = 8
    width: int = 64
    context: int = 4096
    workers: Any = "auto"
    workers_per_gpu: int = 1
    threads_per_worker: int = 1
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
