"""Which designs of a run are validated: its front, its baselines, and a sample of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import qmc

from star.base.errors import UserError
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import LOSS
from star.evaluation.result import OK
from star.runs.folder import POPULATION
from star.runs.run import Run, RunCandidate

FRONT, BASELINE, SAMPLE = "front", "baseline", "sample"


@dataclass(frozen=True)
class Design:
    """A design of the run, and why it is validated."""

    candidate: RunCandidate  # with what the search measured
    role: str  # FRONT, BASELINE or SAMPLE; a baseline on the front is of the front
    name: str  # of a baseline, the genome's id for others

    @property
    def genome_id(self) -> str:
        """Content hash of the canonical genome."""
        return self.candidate.genome_id


def choose_designs(run: Run, names: Mapping[str, str], sample: int) -> list[Design]:
    """The designs, front first; the same ones for the same run.

    Args:
        run: what was found.
        names: of baselines, by genome id.
        sample: how many of the rest.

    Raises:
        UserError: for a run in which nothing was measured to the end.
    """
    candidates = run.candidates
    front = [candidates[name] for name in run.front["genome_id"] if name in candidates]
    taken = {candidate.genome_id for candidate in front}
    others = [c for c in candidates.values() if c.genome_id not in taken]
    baselines = [c for c in others if c.origin == BASELINE and _is_measured(c)]
    rest = [c for c in others if c.origin != BASELINE and c.status == OK]
    if not front:
        raise UserError(
            f"run={run.path}: no candidate was trained to the end and kept the constraints, so "
            f"there is nothing to validate; {run.path}/{POPULATION} says why"
        )
    chosen = [(FRONT, front), (BASELINE, baselines), (SAMPLE, spread_sample(rest, sample))]
    return [
        Design(candidate, role, names.get(candidate.genome_id, candidate.genome_id))
        for role, members in chosen
        for candidate in members
    ]


def _is_measured(baseline: RunCandidate) -> bool:
    """Whether it was trained to the end, above a constraint or not."""
    is_above = baseline.reason.startswith(OVER_BUDGET) and LOSS in baseline.metrics
    return baseline.status == OK or is_above


def spread_sample(candidates: Sequence[RunCandidate], count: int) -> list[RunCandidate]:
    """So many of them, spread evenly over their order by rank, then by loss.

    Good and poor designs alike, and the same ones for the same run. A larger sample holds the
    smaller one, so that it only adds trainings.
    """

    def quality(candidate: RunCandidate) -> tuple[float, float, str]:
        rank = float("inf") if candidate.rank is None else float(candidate.rank)
        return rank, candidate.metrics.get(LOSS, float("inf")), candidate.genome_id

    ordered = sorted(candidates, key=quality)
    wanted = min(count, len(ordered))
    # 0, 1/2, 1/4, 3/4, 1/8, ...: the sequence of van der Corput.
    positions = qmc.Halton(1, scramble=False)
    places: dict[int, None] = {}
    while len(places) < wanted:
        (position,) = positions.random(1)[0]
        places[int(position * len(ordered))] = None
    return [ordered[place] for place in sorted(places)]
