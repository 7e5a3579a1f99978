"""The structured configuration of a search: every key, its default and its meaning. Unknown keys
are rejected."""

from dataclasses import dataclass, field
from typing import Any

from star.data.config import DataConfig
from star.evaluation.constraints import ConstraintsConfig
from star.evaluation.limits import LimitsConfig
from star.evaluation.objectives import CacheSetting
from star.genomes import SearchModelConfig
from star.search.config import SearchConfig
from star.training.config import TrainingConfig


@dataclass
class EvolveConfig:
    """One search. experiment_name names the run folder, `runs/<experiment_name>/<date_time>` unless
    run_dir is set.

    depth: LIVs of a backbone. width: model width. context: positions the cache objective counts.
    workers: `auto` or a number of processes. workers_per_gpu: for `auto` with GPUs.
    threads_per_worker: fixed, so that results do not depend on the number of workers. ledger: `run`
    keeps one in the run folder, `shared` one for all runs of this user; or a path. constraints: the
    largest value of any objective. limits: time and memory of one evaluation.
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
    ledger: str = "run"
    model: SearchModelConfig = field(default_factory=SearchModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)
    constraints: ConstraintsConfig = field(default_factory=ConstraintsConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
