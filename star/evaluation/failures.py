"""Kinds of failure, and which of them an exception raised by an evaluation stands for.

What an executor may throw beside these, such as the end of a worker process, it classifies itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from star.evaluation.result import DIVERGED, Evaluation, infeasible
from star.genomes import GenomeError
from star.training import Diverged

INVALID, OVER_BUDGET, BUILD_ERROR = "invalid", "over_budget", "build_error"
OUT_OF_MEMORY, TIMEOUT, WORKER_DIED = "out_of_memory", "timeout", "worker_died"
SYSTEM_ERROR, MEMORY_LIMIT = "system_error", "memory_limit"


@dataclass(frozen=True)
class Failure:
    """A kind of failure, the first word of its reasons, and how its exceptions are known."""

    kind: str
    meaning: str
    exceptions: tuple[type[BaseException], ...] = ()
    texts: tuple[str, ...] = ()  # parts of messages of exceptions that have no type of their own


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
    Failure(TIMEOUT, "it took longer than the limit"),
    Failure(
        WORKER_DIED,
        "its worker process ended, or the GPU failed under it, in every attempt",
        (SystemExit, KeyboardInterrupt),
        ("CUDA error:",),  # nothing that follows on this GPU in this process is right
    ),
    Failure(
        SYSTEM_ERROR,
        "the system refused something, such as space on a full disk or one more open file",
        (OSError,),
        ("[Errno ", "(os error "),  # wrapped by a library: in Python's words, in Rust's
    ),
    Failure(MEMORY_LIMIT, "it raised any other error under limits.memory, the likely cause"),
    Failure(BUILD_ERROR, "building, training or measuring it raised any other error"),
)
# Failures that the recipe does not decide: limits, the machine and chance do. They answer no other
# run, and are tried again when their own is resumed.
CIRCUMSTANTIAL = (OUT_OF_MEMORY, TIMEOUT, WORKER_DIED, SYSTEM_ERROR, MEMORY_LIMIT)
# How some of them begin in ledgers of before they had kinds of their own.
_FORMER = tuple(f"{BUILD_ERROR}: {error}: " for error in ("OSError", "SystemError"))
_SPEAKING = (GenomeError, Diverged, RuntimeError)  # their messages need no type name before them


def failure(error: BaseException, metrics: Mapping[str, float] | None = None) -> Evaluation:
    """The infeasible evaluation that an exception stands for, whatever its type."""
    message = _message(error)
    kind = next((row.kind for row in FAILURES if _fits(error, message, row)), BUILD_ERROR)
    named = ": ".join(filter(None, (type(error).__name__, message)))
    return infeasible(kind, message if isinstance(error, _SPEAKING) else named, metrics)


def under_limit(evaluation: Evaluation) -> Evaluation:
    """What an evaluation under `limits.memory` gave: Python and its libraries fail in odd ways
    where memory ends, so that an error of no other kind is taken for the limit's."""
    if evaluation.failure != BUILD_ERROR:
        return evaluation
    return replace(evaluation, reason=evaluation.reason.replace(BUILD_ERROR, MEMORY_LIMIT, 1))


def is_circumstantial(evaluation: Evaluation) -> bool:
    """Whether it is a failure that the next attempt need not share."""
    kind = evaluation.failure
    return kind in CIRCUMSTANTIAL or (kind != "" and evaluation.reason.startswith(_FORMER))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of a class of the user's own
        return "an error without a message"


def _fits(error: BaseException, message: str, row: Failure) -> bool:
    return isinstance(error, row.exceptions) or any(text in message for text in row.texts)
