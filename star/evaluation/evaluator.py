"""The evaluation of one candidate: decode, train briefly, measure; a failure becomes a status with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from star.data import Corpus, DataConfig
from star.errors import UserError
from star.evaluation.objectives import CacheSetting, static_metrics
from star.genomes import Genome, GenomeError, ModelConfig
from star.models import decode
from star.training import Diverged, TrainingConfig, train, validate

OK, INFEASIBLE = "ok", "infeasible"

# The kinds of failure, each the first word of a reason.
INVALID, BUILD_ERROR, DIVERGED = "invalid", "build_error", "diverged"
OUT_OF_MEMORY, WORKER_DIED = "out_of_memory", "worker_died"
FAILURES = (INVALID, BUILD_ERROR, DIVERGED, OUT_OF_MEMORY, WORKER_DIED)

# The first row that fits an exception names its kind; anything else is a build error.
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (GenomeError, INVALID),
    (Diverged, DIVERGED),
    (torch.OutOfMemoryError, OUT_OF_MEMORY),
    (MemoryError, OUT_OF_MEMORY),
)
_CPU_OUT_OF_MEMORY = "can't allocate memory"  # torch raises a plain RuntimeError with this text
_SPEAKING = (GenomeError, Diverged, RuntimeError)  # their messages need no type name before them


@dataclass(frozen=True)
class Recipe:
    """Everything but the genome that decides an evaluation's result."""

    model: ModelConfig
    cache: CacheSetting
    training: TrainingConfig
    data: DataConfig
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """The result for one genome. status: `ok` or `infeasible`; metrics by objective name; seconds of training."""

    status: str
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_seconds: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether the candidate was built, trained and measured."""
        return self.status == OK


def infeasible(kind: str, detail: object, metrics: Mapping[str, float] | None = None) -> Evaluation:
    """An infeasible evaluation whose reason is `<kind>: <detail>` on one line."""
    return Evaluation(INFEASIBLE, f"{kind}: {' '.join(str(detail).split())}", metrics or {})


def failure(error: Exception, metrics: Mapping[str, float] | None = None) -> Evaluation:
    """The infeasible evaluation that an exception stands for, whatever its type."""
    kind = next((kind for known, kind in _KINDS if isinstance(error, known)), BUILD_ERROR)
    if kind == BUILD_ERROR and _CPU_OUT_OF_MEMORY in str(error):
        kind = OUT_OF_MEMORY
    detail = str(error) if isinstance(error, _SPEAKING) else f"{type(error).__name__}: {error}"
    return infeasible(kind, detail, metrics)


def evaluate(genome: Genome, recipe: Recipe, corpus: Corpus) -> Evaluation:
    """Decode, train and measure one genome.

    Every candidate gets the same seed for its weights and the same batches, so that differences in loss come from
    the architecture (common random numbers). Failures are returned as infeasible, whatever was raised; only a
    `UserError`, which no other candidate would escape, is passed on.
    """
    metrics: dict[str, float] = {}
    try:
        metrics.update(static_metrics(genome, recipe.model, recipe.cache))
        torch.manual_seed(recipe.seed)
        model = decode(genome, recipe.model)
        training = train(model, corpus, recipe.training, recipe.seed)
        quality = validate(model, corpus, recipe.training)
    except UserError:
        raise
    except Exception as error:
        return failure(error, metrics)
    metrics.update(vars(quality))
    return Evaluation(OK, "", metrics, training.seconds)
