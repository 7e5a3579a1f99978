"""The closing table of a search: the front beside the baselines, with differences in percent.

It is made from the run folder, so that it can be printed for any run.
"""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from star.base.console import say
from star.evaluation.objectives import STATIC, Objective
from star.genomes import Genome
from star.runs.run import Run, RunCandidate

LOSS, PARAMETERS, CACHE = "validation_loss", "parameters", "cache_bytes"
COSTS = {CACHE: ("cache", "smallest"), PARAMETERS: ("parameters", "fewest")}
SHOWN = (LOSS, PARAMETERS, CACHE)  # columns of every table; other objectives follow
TITLE = "Pareto front over the whole run, and the baselines"
WIDTH = 100  # columns of a file, unless the table takes more
HEADINGS = {"transformer_pp": "Transformer++", "striped_mamba": "StripedMamba"}  # compared with


def composition(genome: Genome) -> str:
    """Class names in order, runs counted: `2xGConv-1 GMemless SA-3`."""
    runs: list[list[str]] = []
    for liv_class in genome.classes():
        if runs and runs[-1][0] == liv_class.name:
            runs[-1].append(liv_class.name)
        else:
            runs.append([liv_class.name])
    return " ".join(f"{len(run)}x{run[0]}" if len(run) > 1 else run[0] for run in runs)


def percent(value: float, against: float) -> str:
    """Signed difference to `against` in percent; a multiple from 10 on, `n/a` where it is zero."""
    if not against:
        return "n/a"
    ratio = value / against
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 10 else f"x{ratio:.0f}"


def share_percent(share: float) -> str:
    """A share in percent with three digits, in whole percents from 1000 on."""
    return f"{100 * share:.3g}%" if share < 9.995 else f"{100 * share:,.0f}%"


class ClosingTable:
    """The table and the lines below it, for one run."""

    def __init__(
        self, run: Run, objectives: Mapping[str, Objective], minimised: Sequence[str],
        baseline_ids: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Read the run.

        Args:
            run: the folder.
            objectives: all that were measured, by name.
            minimised: names of those that the search minimised.
            baseline_ids: genome ids of the baselines by name; designs that agree at this depth have
                the same id.
        """
        candidates = run.candidates
        self.measured = [c for c in candidates.values() if c.status == "ok"]
        self.front = [candidates[genome_id] for genome_id in run.front["genome_id"]]
        known = {c.genome_id for c in self.measured}
        self.baselines = {
            name: candidates[genome_id]
            for name, genome_id in baseline_ids.items()
            if genome_id in known
        }
        names = (*SHOWN, *(name for name in minimised if name not in SHOWN))
        self.shown = [objectives[name] for name in names]
        self.costs = [name for name in minimised if objectives[name].cost == STATIC]

    def print(self, console: Console) -> None:
        """Print front, baselines, and for each baseline the smallest cost at or below its loss.

        A terminal gets as many comparisons as it has room for; a file is as wide as it takes.
        """
        compared = [name for name in HEADINGS if name in self.baselines]
        table = self._table(compared)
        endless = console.options.update(width=10_000)
        needed = Measurement.get(console, endless, table).maximum
        if not console.is_terminal:
            console.width = max(console.width, needed)
        elif needed > console.width:
            table = self._table(compared[:1])
        console.print(table)
        for name, candidate in self.baselines.items():
            say(console, self._smallest_cost_line(name, candidate))

    def _table(self, compared: list[str]) -> Table:
        """Front and baselines, beside differences to these baselines."""
        what = " ".join(f"{objective.heading:>7}" for objective in self.shown)
        table = Table(title=TITLE, title_justify="left", box=SIMPLE, pad_edge=False)
        table.add_column("genome", no_wrap=True)
        for objective in self.shown:
            table.add_column(objective.heading, justify="right", no_wrap=True)
        for name in compared:
            heading = f"against {HEADINGS[name]}:\n{what}"
            table.add_column(heading, justify="right", no_wrap=True)
        names = {c.genome_id: name for name, c in reversed(self.baselines.items())}
        for candidate in self.front:
            table.add_row(*self._row(candidate, names.get(candidate.genome_id), compared))
        table.add_section()
        for name, candidate in self.baselines.items():
            table.add_row(*self._row(candidate, name, compared))
        return table

    def _row(self, candidate: RunCandidate, name: str | None, compared: list[str]) -> list[str]:
        metrics = candidate.metrics
        values = [objective.shown(metrics[objective.name]) for objective in self.shown]
        against = [self.baselines[other].metrics for other in compared]
        differences = [
            " ".join(f"{percent(metrics[o.name], other[o.name]):>7}" for o in self.shown)
            for other in against
        ]
        return [name or candidate.genome_id, *values, *differences]

    def _smallest_cost_line(self, name: str, baseline: RunCandidate) -> str:
        """The evolved genome with the smallest cost at or below the baseline's loss, in words."""
        own = baseline.metrics
        better = [
            candidate
            for candidate in self.measured
            if candidate.origin != "baseline" and candidate.metrics[LOSS] <= own[LOSS]
        ]
        if not better:
            return f"{name}: no evolved genome reaches its loss of {own[LOSS]:.4f}"
        # Parameters where they alone are an objective, else the cache.
        cost, other = (PARAMETERS, CACHE) if self.costs == [PARAMETERS] else (CACHE, PARAMETERS)
        words, superlative = COSTS[cost]
        best = min(better, key=lambda c: (c.metrics[cost], c.metrics[LOSS]))
        metrics = best.metrics
        share = f"{metrics[cost]:,.0f} bytes of {words} where it needs none"
        if own[cost]:
            share = f"{share_percent(metrics[cost] / own[cost])} of its {words}"
        return (
            f"at or below {name}'s loss with the {superlative} {words}: {best.genome_id}, {share}, "
            f"loss {percent(metrics[LOSS], own[LOSS])}, "
            f"{COSTS[other][0]} {percent(metrics[other], own[other])}  "
            f"[{composition(best.genome)}]"
        )
