"""The closing table: the front beside the baselines trained in the same run, with differences in
percent."""

from collections.abc import Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from star.genomes import Genome
from star.search.archive import Archive
from star.search.candidates import BASELINE, Evaluated

COSTS = {"cache_bytes": "cache", "parameters": "parameters"}
SUPERLATIVES = {"cache_bytes": "smallest", "parameters": "fewest"}
TITLE = "Pareto front over the whole run, and the baselines"
WIDTH = 100  # columns that the whole table takes; a narrower terminal gets one comparison
COMPARED = ("transformer_pp", "striped_mamba")
HEADINGS = {"transformer_pp": "Transformer++", "striped_mamba": "StripedMamba"}
DIFFERENCES = (("loss", "validation_loss"), ("params", "parameters"), ("cache", "cache_bytes"))


def composition(genome: Genome) -> str:
    """Class names in order, runs counted: `2xGConv-1 GMemless SA-3`."""
    names = [liv_class.name for liv_class in genome.classes()]
    runs: list[list[str]] = []
    for name in names:
        if runs and runs[-1][0] == name:
            runs[-1].append(name)
        else:
            runs.append([name])
    return " ".join(f"{len(run)}x{run[0]}" if len(run) > 1 else run[0] for run in runs)


def percent(value: float, against: float) -> str:
    """Signed difference of value to `against` in percent; a multiple from 10 on, `n/a` where
    `against` is zero."""
    if not against:
        return "n/a"
    ratio = value / against
    return f"{100 * (ratio - 1):+.1f}%" if ratio < 10 else f"x{ratio:.0f}"


def share_percent(share: float) -> str:
    """A share in percent with three digits, in whole percents from 1000 on."""
    return f"{100 * share:.3g}%" if share < 9.995 else f"{100 * share:,.0f}%"


def _differences(evaluated: Evaluated, baseline: Evaluated) -> str:
    own, other = evaluated.evaluation.metrics, baseline.evaluation.metrics
    return " ".join(f"{percent(own[name], other[name]):>7}" for _, name in DIFFERENCES)


def _add_row(table: Table, evaluated: Evaluated, name: str, compared: list[Evaluated]) -> None:
    metrics = evaluated.evaluation.metrics
    table.add_row(
        name,
        f"{metrics['validation_loss']:.4f}",
        f"{metrics['parameters'] / 1e3:,.1f}k",
        f"{metrics['cache_bytes'] / 1e3:,.1f}kB",
        *(_differences(evaluated, baseline) for baseline in compared),
    )


def print_closing_table(
    console: Console, archive: Archive, baseline_ids: Mapping[str, str]
) -> None:
    """Print front, baselines, and for each baseline the smallest cache at or below its loss.

    baseline_ids: genome ids of the baselines by name; designs that agree at this depth have the
    same id.
    """
    if not archive.feasible:
        console.print(
            "no candidate could be measured: there is no front; population.csv holds the reasons"
        )
        return
    measured = {b.genome_id: b for b in archive.baselines}
    baselines = {
        name: measured[genome_id]
        for name, genome_id in baseline_ids.items()
        if genome_id in measured
    }
    names: dict[str, str] = {}
    for name, baseline in baselines.items():
        names.setdefault(baseline.genome_id, name)
    columns = COMPARED if console.width >= WIDTH else COMPARED[:1]
    compared = [name for name in columns if name in baselines]
    what = " ".join(f"{label:>7}" for label, _ in DIFFERENCES)
    table = Table(title=TITLE, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("genome", no_wrap=True)
    for heading in ("loss", "params", "cache"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in compared:
        table.add_column(f"against {HEADINGS[name]}:\n{what}", justify="right", no_wrap=True)
    against = [baselines[name] for name in compared]
    for evaluated in archive.front():
        is_baseline = evaluated.candidate.origin == BASELINE
        _add_row(
            table,
            evaluated,
            names[evaluated.genome_id] if is_baseline else evaluated.genome_id,
            against,
        )
    table.add_section()
    for name, baseline in baselines.items():
        _add_row(table, baseline, name, against)
    console.print(table)
    for name, baseline in baselines.items():
        console.print(_smallest_cost_line(name, baseline, archive), highlight=False, soft_wrap=True)


def _compared_cost(archive: Archive) -> tuple[str, str]:
    """The cost that the closing lines minimise: parameters where they alone are an objective; and
    the other one."""
    names = [objective.name for objective in archive.objectives if objective.name in COSTS]
    return (
        ("parameters", "cache_bytes") if names == ["parameters"] else ("cache_bytes", "parameters")
    )


def _smallest_cost_line(name: str, baseline: Evaluated, archive: Archive) -> str:
    """The evolved genome with the smallest cost among those at or below the baseline's loss, in
    words."""
    own = baseline.evaluation.metrics
    better = [
        evaluated
        for evaluated in archive.feasible
        if evaluated.candidate.origin != BASELINE
        and evaluated.evaluation.metrics["validation_loss"] <= own["validation_loss"]
    ]
    if not better:
        return f"{name}: no evolved genome reaches its loss of {own['validation_loss']:.4f}"
    cost, other = _compared_cost(archive)
    words, superlative = COSTS[cost], SUPERLATIVES[cost]
    best = min(
        better, key=lambda e: (e.evaluation.metrics[cost], e.evaluation.metrics["validation_loss"])
    )
    metrics = best.evaluation.metrics
    share = f"{metrics[cost]:,} bytes of {words} where it needs none"
    if own[cost]:
        share = f"{share_percent(metrics[cost] / own[cost])} of its {words}"
    return (
        f"at or below {name}'s loss with the {superlative} {words}: {best.genome_id}, {share}, "
        f"loss {percent(metrics['validation_loss'], own['validation_loss'])}, "
        f"{COSTS[other]} {percent(metrics[other], own[other])}  "
        f"[{composition(best.candidate.genome)}]"
    )
