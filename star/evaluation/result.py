"""The result of one evaluation: measured, stopped early, or infeasible with its reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from star.base.errors import plain

OK, STOPPED, INFEASIBLE = "ok", "stopped", "infeasible"
DIVERGED = "diverged"


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
    return Evaluation(INFEASIBLE, f"{kind}: {plain(detail)}", metrics or {})


def require_finite(evaluation: Evaluation) -> Evaluation:
    """The evaluation, or a diverged one without the metrics that are not finite numbers."""
    finite = {name: value for name, value in evaluation.metrics.items() if math.isfinite(value)}
    wrong = [
        f"{name} is {value}" for name, value in evaluation.metrics.items() if name not in finite
    ]
    if not evaluation.feasible or not wrong:
        return evaluation
    reason = f"{DIVERGED}: {', '.join(wrong)}"
    return replace(evaluation, status=INFEASIBLE, reason=reason, metrics=finite)
