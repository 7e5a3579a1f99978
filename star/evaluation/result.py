"""The result of one evaluation: measured, stopped early, or infeasible with its reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from star.base.errors import plain

OK, STOPPED, INFEASIBLE = "ok", "stopped", "infeasible"
DIVERGED = "diverged"
LONGEST_REASON = 300  # characters, of an error text that may have millions


@dataclass(frozen=True)
class Evaluation:
    """The result for one genome."""

    # `ok`, `infeasible`, or `stopped` by successive halving: measured, but not fully trained
    status: str
    reason: str = ""  # `<kind of failure>: <detail>`, empty when measured
    metrics: Mapping[str, float] = field(default_factory=dict)  # by objective name
    train_seconds: float = 0.0
    peak_bytes: int = 0  # peak memory on its device, 0 where it was not measured
    device: str = ""  # name of it

    def __post_init__(self) -> None:
        """Whoever makes one, its reason is a short line that any file and terminal takes."""
        object.__setattr__(self, "reason", _harmless(self.reason))

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
    """An infeasible evaluation whose reason is `<kind>: <detail>` on one line.

    Of the metrics it keeps those that are finite numbers.
    """
    finite = {name: value for name, value in (metrics or {}).items() if is_finite(value)}
    return Evaluation(INFEASIBLE, f"{kind}: {detail}", finite)


def _harmless(text: str) -> str:
    """At most `LONGEST_REASON` characters of a text, on one line; others than printable ones, such
    as half a surrogate pair or a terminal's escapes, are written as in Python: `\\x1b`."""
    line = plain(text[: 2 * LONGEST_REASON])
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 3] + "..."


def is_finite(value: object) -> bool:
    """Whether something is a number that a float can be; text, True and 10**400 are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def require_finite(evaluation: Evaluation) -> Evaluation:
    """The evaluation, or a diverged one without the metrics that are not finite numbers."""
    finite = {name: value for name, value in evaluation.metrics.items() if is_finite(value)}
    wrong = [
        f"{name} is {value}" for name, value in evaluation.metrics.items() if name not in finite
    ]
    if not evaluation.feasible or not wrong:
        return evaluation
    reason = f"{DIVERGED}: {', '.join(wrong)}"
    return replace(evaluation, status=INFEASIBLE, reason=reason, metrics=finite)
