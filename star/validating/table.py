"""What a validation prints: its designs with intervals, and what they say of the search."""

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from star.base.console import say
from star.evaluation.statistics import LEVEL
from star.runs.recall import CHANCE_MARK, RECALL, is_at_chance, recall_lines
from star.validating.designs import BASELINE, FRONT, SAMPLE
from star.validating.results import Results

SECTIONS = {FRONT: "", BASELINE: "baselines:", SAMPLE: "a sample of the rest:"}
FAILED = "-"  # in place of what could not be measured with every seed


class ValidationTable:
    """The table and the lines below it."""

    def __init__(self, results: Results) -> None:
        self.results = results
        minimised, also = results.minimised, [RECALL] * (RECALL in results.trained)
        shown = dict.fromkeys((*minimised, *also, *results.also))
        self._noisy = [name for name in shown if name in results.trained]
        self._exact = [n for n in minimised if n not in results.trained]

    def print(self, console: Console) -> None:
        """Print them; a file is as wide as the table takes."""
        table = self._table()
        if not console.is_terminal:
            endless = console.options.update(width=10_000)
            console.width = max(console.width, Measurement.get(console, endless, table).maximum)
        console.print(table)
        for line in self.lines():
            say(console, line)

    def _table(self) -> Table:
        results, objectives = self.results, self.results.measured.objectives
        steps, seeds = results.budget.recipe.training.steps, len(results.seeds)
        title = f"after {steps:,} steps with {seeds} fresh seeds, on text the search never used"
        table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
        headings = [objectives[name].heading for name in self._noisy]
        table.add_column("genome", no_wrap=True)
        for heading in headings:
            table.add_column(Text(f"search's\n{heading}"), justify="right", no_wrap=True)
            table.add_column(Text(f"validated\n{heading}"), justify="right", no_wrap=True)
        for name in self._exact:
            table.add_column(Text(objectives[name].heading), justify="right", no_wrap=True)
        table.add_column("on the\nfront", no_wrap=True)
        table.add_column("proba-\nbility", justify="right", no_wrap=True)
        for role, title in SECTIONS.items():
            members = [n for n, design in enumerate(results.designs) if design.role == role]
            if members and title:
                table.add_section()
                table.add_row(title)
            for number in members:
                table.add_row(*map(Text, self._row(number)))
        return table

    def _row(self, number: int) -> list[str]:
        results, objectives = self.results, self.results.measured.objectives
        design, is_complete = results.designs[number], number in results.complete
        cells = []
        for name in self._noisy:
            objective, before = objectives[name], design.candidate.metrics.get(name)
            cells.append(FAILED if before is None else objective.shown(before))
            cells.append(self._estimate(number, name) if is_complete else FAILED)
        exact = design.candidate.metrics
        cells += [objectives[n].shown(exact[n]) if n in exact else FAILED for n in self._exact]
        probability = results.probabilities.get(number)
        means = results.means(number) if is_complete else {}
        mark = CHANCE_MARK if is_at_chance(means) else ""
        on_front = "yes" if number in results.front else "no"
        shown = FAILED if probability is None else f"{probability:.2f}"
        return [f"{design.name}{mark}", *cells, on_front, shown]

    def _estimate(self, number: int, name: str) -> str:
        """A mean and half of its interval."""
        estimate = self.results.estimates[number, name]
        half = (estimate.high - estimate.low) / 2
        shown = self.results.measured.objectives[name].shown(estimate.mean)
        return shown if half == float("inf") else f"{shown} ±{half:.2g}"

    def lines(self) -> list[str]:
        """What the table says of the search, in words."""
        results = self.results
        found = [self._correlation(name) for name in results.minimised if name in results.trained]
        kept, front = len(results.kept), len(results.searched_front)
        line = (
            f"{kept} of the {front} designs on the search's front ({kept / front:.0%}) stay "
            f"non-dominated among all {len(results.designs)} validated"
        )
        if results.probabilities:
            expected = sum(results.probabilities.get(n, 0.0) for n in results.searched_front)
            line += f"; {expected:.1f} are expected to be truly so"
        found.append(line)
        if not results.probabilities:
            found.append(
                "one seed tells no spread: no intervals and no probabilities; the same command "
                "with validation.seeds=3 adds seeds"
            )
        else:
            found.append(f"± is half of the {LEVEL:.0%} interval of the mean over seeds")
        found += [
            f"{design.name}: {next(e.reason for e in row if not e.feasible)}"
            for n, (design, row) in enumerate(zip(results.designs, results.trainings, strict=True))
            if n not in results.complete
        ]
        mixes = any(design.candidate.genome.alphabet.hybrid for design in results.designs)
        return [*found, *recall_lines(results.trained, not mixes)]

    def _correlation(self, name: str) -> str:
        spearman, kendall, count = self.results.correlations(name)
        return (
            f"{name} in the search against here, {count} designs: Spearman {spearman}, Kendall "
            f"{kendall}, with {LEVEL:.0%} bootstrap intervals"
        )
