"""The closing table of a search: the front beside the baselines, with differences in percent.

It is made from the run folder, so that it can be printed for any run.
"""

import shlex
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from star.base.console import say
from star.evaluation.failures import OVER_BUDGET
from star.evaluation.objectives import LOSS, STATIC, Objective
from star.runs.names import HEADINGS, composition, is_over_hybrid
from star.runs.recall import CHANCE_MARK, RECALL, is_at_chance, recall_lines
from star.runs.run import Run, RunCandidate
from star.runs.validated import VALIDATED

PARAMETERS, CACHE = "parameters", "cache_bytes"
COSTS = {CACHE: ("cache", "smallest"), PARAMETERS: ("parameters", "fewest")}
SHOWN = (LOSS, PARAMETERS, CACHE)  # columns of every table; other objectives follow
TITLE = "Pareto front over the whole run, and the baselines"
WIDTH = 100  # columns of a file, unless the table takes more
NAMED_BELOW, ABOVE = "named below:", "above the constraint:"  # what stands over these parts
COMPARED = ("transformer_pp", "striped_mamba")  # with these, where they are there


def percent(value: float, against: float) -> str:
    """Signed difference to `against` in percent; a multiple from 10 on, `n/a` where it is zero."""
    if not against:
        return "n/a"
    ratio = value / against
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 10 else f"x{ratio:.0f}"


def share_percent(share: float) -> str:
    """A share in percent with three digits, in whole percents from 1000 on."""
    return f"{100 * share:.3g}%" if share < 9.995 else f"{100 * share:,.0f}%"


def _above(candidate: RunCandidate) -> bool:
    """Whether it was trained and measured, and is above a constraint."""
    return candidate.reason.startswith(OVER_BUDGET) and LOSS in candidate.metrics


class ClosingTable:
    """The table and the lines below it, for one run."""

    def __init__(
        self, run: Run, objectives: Mapping[str, Objective], minimised: Sequence[str],
        baseline_ids: Mapping[str, str], also: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Read the run.

        Args:
            run: the folder.
            objectives: all that were measured, by name.
            minimised: names of those that the search minimised.
            baseline_ids: genome ids of the baselines by name; designs that agree at this depth have
                the same id.
            also: names of those that were measured for the record, which have columns too.
        """
        self.run, candidates = run, run.candidates
        self.measured = [c for c in candidates.values() if c.status == "ok"]
        self.front = [candidates[genome_id] for genome_id in run.front["genome_id"]]
        named = {name: candidates.get(genome_id) for name, genome_id in baseline_ids.items()}
        self.baselines = {
            name: c
            for name, c in named.items()
            if c is not None and (c.status == "ok" or _above(c))
        }
        self.shown = [objectives[name] for name in dict.fromkeys((*SHOWN, *minimised, *also))]
        self.costs = [name for name in minimised if objectives[name].cost == STATIC]
        # what a design must reach to be compared by its cost
        self.qualities = [LOSS, *(name for name in minimised if name == RECALL)]

    def print(self, console: Console) -> None:
        """Print front, baselines, and for each baseline the smallest cost at or below its loss, and
        its recall error where the search minimised that.

        A terminal gets as much as it has room for: compositions only beside all comparisons, and
        one comparison in any case. A file is as wide as it takes.
        """
        usual = [name for name in COMPARED if name in self.baselines]
        compared = usual or list(self.baselines)[: len(COMPARED)]
        forms = ((compared, True), (compared, False), (compared[:1], False))
        tables = [self._table(names, has_composition) for names, has_composition in forms]
        endless = console.options.update(width=10_000)
        needed = [Measurement.get(console, endless, table).maximum for table in tables]
        if not console.is_terminal:
            console.width = max(console.width, needed[0])
        fitting = (t for t, width in zip(tables, needed, strict=True) if width <= console.width)
        console.print(next(fitting, tables[-1]))
        for name, candidate in self.baselines.items():
            say(console, self._smallest_cost_line(name, candidate))
        for line in self._trust_lines():
            say(console, line)

    def _trust_lines(self) -> list[str]:
        """How far the numbers go."""
        settings = self.run.settings
        recall = recall_lines(self.run.metrics, not is_over_hybrid(settings))
        if self.run.is_validated:
            return recall
        steps = settings.get("training", {}).get("steps", 0)
        path = shlex.quote(str(self.run.path))
        alone = f"losses are of the search's short trainings alone ({steps:,} steps)"
        if str(settings.get("data_fingerprint", "")).startswith("table:"):
            return [alone, *recall]
        if (self.run.path / VALIDATED).exists():
            return [f"{alone}; longer ones of these designs are in {self.run.path}/{VALIDATED}",
                    *recall]  # fmt: skip
        command = f"python -m star.validate run={path} training.steps={10 * steps}"
        return [f"{alone}; {command} trains these longer, on text the search never used", *recall]

    def _table(self, compared: list[str], has_composition: bool) -> Table:
        """Front and baselines, beside differences to these baselines, and what they are made of.

        Baselines above a constraint stand apart, and so do genomes that the lines below name though
        they are not on the front.
        """
        what = " ".join(f"{objective.heading:>7}" for objective in self.shown)
        table = Table(title=TITLE, title_justify="left", box=SIMPLE, pad_edge=False)
        table.add_column("genome", no_wrap=True)
        # As texts, since strings would be read as markup: the names are of the user's own.
        for objective in self.shown:
            table.add_column(Text(objective.heading), justify="right", no_wrap=True)
        for name in compared:
            heading = Text(f"against {HEADINGS.get(name, name)}:\n{what}")
            table.add_column(heading, justify="right", no_wrap=True)
        if has_composition:
            table.add_column("composition", no_wrap=True)
        for title, rows in self._sections():
            if not rows:
                continue
            table.add_section()
            if title:
                table.add_row(title)
            for name, candidate in rows:
                made_of = [composition(candidate.genome)] if has_composition else []
                table.add_row(*map(Text, [*self._row(candidate, name, compared), *made_of]))
        return table

    def _sections(self) -> list[tuple[str, list[tuple[str, RunCandidate]]]]:
        """The parts of the table: what stands over each, and names and candidates of its rows."""
        names = {c.genome_id: name for name, c in reversed(self.baselines.items())}
        front = [(names.get(c.genome_id, c.genome_id), c) for c in self.front]
        within = [(name, c) for name, c in self.baselines.items() if not _above(c)]
        above = [(name, c) for name, c in self.baselines.items() if _above(c)]
        shown = {c.genome_id for _, c in front}
        best = {c.genome_id: c for c in map(self._best, self.baselines.values()) if c is not None}
        others = [(genome_id, c) for genome_id, c in best.items() if genome_id not in shown]
        return [("", front), (NAMED_BELOW, others), ("", within), (ABOVE, above)]

    def _row(self, candidate: RunCandidate, name: str, compared: list[str]) -> list[str]:
        metrics = candidate.metrics
        name += CHANCE_MARK if is_at_chance(metrics) else ""
        values = [objective.shown(metrics[objective.name]) for objective in self.shown]
        against = [self.baselines[other].metrics for other in compared]
        differences = [
            " ".join(f"{percent(metrics[o.name], other[o.name]):>7}" for o in self.shown)
            for other in against
        ]
        return [name, *values, *differences]

    @property
    def _cost(self) -> str:
        """What the lines below speak of: parameters where they alone are an objective, else the
        cache."""
        return PARAMETERS if self.costs == [PARAMETERS] else CACHE

    def _best(self, baseline: RunCandidate) -> RunCandidate | None:
        """The evolved genome with the smallest cost that is as good as the baseline."""
        better = (
            candidate
            for candidate in self.measured
            if candidate.origin != "baseline"
            and all(candidate.metrics[name] <= baseline.metrics[name] for name in self.qualities)
        )
        order = (self._cost, LOSS)
        return min(better, key=lambda c: [c.metrics[name] for name in order], default=None)

    def _smallest_cost_line(self, name: str, baseline: RunCandidate) -> str:
        """What it is, in words."""
        own, best, cost = baseline.metrics, self._best(baseline), self._cost
        recall = f" and recall error of {own[RECALL]:.3f}" if RECALL in self.qualities else ""
        if best is None:
            return f"{name}: no evolved genome reaches its loss of {own[LOSS]:.4f}{recall}"
        other = CACHE if cost == PARAMETERS else PARAMETERS
        words, superlative = COSTS[cost]
        metrics = best.metrics
        share = f"{metrics[cost]:,.0f} bytes of {words} where it needs none"
        if own[cost]:
            share = f"{share_percent(metrics[cost] / own[cost])} of its {words}"
        mark = CHANCE_MARK if is_at_chance(metrics) else ""
        quality = "loss and recall error" if RECALL in self.qualities else "loss"
        return (
            f"at or below {name}'s {quality} with the {superlative} {words}: "
            f"{best.genome_id}{mark}, {share}, "
            f"loss {percent(metrics[LOSS], own[LOSS])}, "
            f"{COSTS[other][0]} {percent(metrics[other], own[other])}  "
            f"[{composition(best.genome)}]"
        )
