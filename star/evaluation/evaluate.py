"""The evaluation of one candidate: decode, train briefly, measure; a failure becomes a status with
its reason."""

import math
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace

import torch
from pebble import ProcessExpired

from star.base.errors import UserError
from star.data import Corpus, DataConfig
from star.evaluation.limits import device_name, peak_bytes, reset_peak
from star.evaluation.objectives import CacheSetting, static_metrics
from star.evaluation.rungs import Rung
from star.genomes import Genome, GenomeError, ModelConfig
from star.models import decode
from star.training import Diverged, Trainer, TrainingConfig, train_further, validate

OK, STOPPED, INFEASIBLE = "ok", "stopped", "infeasible"
EVALUATION_VERSION = (
    1  # raise it whenever the same recipe can give another result, so that ledgers do not mix them
)

INVALID, OVER_BUDGET, BUILD_ERROR, DIVERGED = "invalid", "over_budget", "build_error", "diverged"
OUT_OF_MEMORY, TIMEOUT, WORKER_DIED = "out_of_memory", "timeout", "worker_died"


@dataclass(frozen=True)
class Failure:
    """A kind of failure, the first word of its reasons: what it means, and how its exceptions are
    known.

    texts: parts of the messages of exceptions that have no type of their own.
    """

    kind: str
    meaning: str
    exceptions: tuple[type[BaseException], ...] = ()
    texts: tuple[str, ...] = ()


# The first row that fits an exception names its kind; anything else is a build error.
FAILURES = (
    Failure(INVALID, "the genome breaks a rule or does not fit the model's sizes", (GenomeError,)),
    Failure(OVER_BUDGET, "a static objective exceeds its constraint, so it was not trained"),
    Failure(DIVERGED, "a loss, gradient or metric was not finite", (Diverged,)),
    Failure(
        OUT_OF_MEMORY,
        "it wanted more memory than the limit or the device has",
        (torch.OutOfMemoryError, MemoryError),
        (
            "can't allocate memory",
            "Cannot allocate memory",
            "std::bad_alloc",
            "CUDA error: out of memory",
        ),
    ),
    Failure(TIMEOUT, "it took longer than the limit", (FutureTimeoutError,)),
    Failure(
        WORKER_DIED,
        "its worker process ended, or the GPU failed under it, in every attempt",
        (ProcessExpired, BrokenExecutor, SystemExit),
        ("CUDA error:",),  # nothing that follows on this GPU in this process is right
    ),
    Failure(BUILD_ERROR, "building, training or measuring it raised any other error"),
)
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
    """The result for one genome. status: `ok`, `infeasible`, or `stopped` by successive halving,
    measured before all steps were trained; metrics by objective name; seconds of training.

    peak_bytes: peak memory on its device, 0 where it was not measured. device: name of it.
    """

    status: str
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_seconds: float = 0.0
    peak_bytes: int = 0
    device: str = ""

    @property
    def feasible(self) -> bool:
        """Whether the candidate was built, trained to the end and measured."""
        return self.status == OK

    @property
    def measured(self) -> bool:
        """Whether it has all metrics, be it after fewer steps."""
        return self.status in (OK, STOPPED)

    @property
    def failure(self) -> str:
        """The kind of failure, empty when measured."""
        return "" if self.measured else self.reason.split(":")[0]


def infeasible(kind: str, detail: object, metrics: Mapping[str, float] | None = None) -> Evaluation:
    """An infeasible evaluation whose reason is `<kind>: <detail>` on one line."""
    return Evaluation(INFEASIBLE, f"{kind}: {' '.join(str(detail).split())}", metrics or {})


def failure(error: BaseException, metrics: Mapping[str, float] | None = None) -> Evaluation:
    """The infeasible evaluation that an exception stands for, whatever its type."""
    message = str(error)
    kind = next((row.kind for row in FAILURES if _fits(error, message, row)), BUILD_ERROR)
    detail = (
        message
        if isinstance(error, _SPEAKING)
        else ": ".join(filter(None, (type(error).__name__, message)))
    )
    return infeasible(kind, detail, metrics)


def _fits(error: BaseException, message: str, row: Failure) -> bool:
    return isinstance(error, row.exceptions) or any(text in message for text in row.texts)


def require_finite(evaluation: Evaluation) -> Evaluation:
    """The evaluation itself, or a diverged one without the metrics that are not finite numbers."""
    finite = {name: value for name, value in evaluation.metrics.items() if math.isfinite(value)}
    wrong = [
        f"{name} is {value}" for name, value in evaluation.metrics.items() if name not in finite
    ]
    if not evaluation.feasible or not wrong:
        return evaluation
    return replace(
        evaluation, status=INFEASIBLE, reason=f"{DIVERGED}: {', '.join(wrong)}", metrics=finite
    )


def evaluate(
    genome: Genome, recipe: Recipe, corpus: Corpus, rung: Rung | None = None
) -> Evaluation:
    """Decode, train and measure one genome. rung: to train it that far only; None is all of the
    recipe's steps.

    Every candidate gets the same seed for its weights and the same batches, so that differences in
    loss come from the architecture (common random numbers). Failures are returned as infeasible,
    whatever was raised; only a `UserError`, which no other candidate would escape, is passed on.
    """
    device = recipe.training.torch_device()
    reset_peak(device)
    evaluation = _train_and_measure(genome, recipe, corpus, rung or Rung(recipe.training.steps))
    return replace(evaluation, peak_bytes=peak_bytes(device), device=device_name(device))


def _train_and_measure(genome: Genome, recipe: Recipe, corpus: Corpus, rung: Rung) -> Evaluation:
    metrics: dict[str, float] = {}
    try:
        metrics.update(static_metrics(genome, recipe.model, recipe.cache))
        torch.manual_seed(recipe.seed)
        model = decode(genome, recipe.model.when_trained())
        trainer = Trainer(model, corpus, recipe.training, recipe.seed)
        seconds = train_further(trainer, rung.steps, rung.state(genome))
        quality = validate(model, corpus, recipe.training)
    except UserError:
        raise
    except Exception as error:
        return failure(error, metrics)
    metrics.update(vars(quality))
    return require_finite(Evaluation(OK, "", metrics, seconds))
