"""The study's runs as a table of designs and tasks, beside the published scores.

    python experiments/mad_baselines/compare.py <folder of run.sh>

Copies the finished runs to runs.csv beside this file and prints the table in Markdown, in percent:
test accuracy, and behind it the standard deviation over seeds where there are several.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from star.evaluation.mad import TASKS, Scores, summarise
from star.evaluation.mad.published import PUBLISHED
from star.evaluation.mad.rows import Row, read_rows, write_rows

HERE = Path(__file__).parent
KEPT = HERE / "runs.csv"
# The published row that is of the same kind of design.
ALIKE = {
    "transformer_pp": "Transformer",
    "mamba": "Mamba",
    "hyena": "Hyena",
    "gated_delta": "DeltaNet",
}


def cell(scores: Scores, task: str) -> str:
    """One accuracy."""
    score = scores.tasks.get(task)
    if score is None:
        return "-"
    spread = f" ±{100 * score.spread:.1f}" if score.spread else ""
    return f"{100 * score.accuracy:.1f}{spread}"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table, a design and its published relative after each other."""
    yield "| design | seeds | " + " | ".join(task.replace("_", " ") for task in TASKS) + " | mean |"
    yield "|---|---|" + "---|" * (len(TASKS) + 1)
    for name in dict.fromkeys(row.name for row in rows):
        outcomes = [row.outcome for row in rows if row.name == name]
        scores = summarise(outcomes)
        seeds = len({outcome.run.seed for outcome in outcomes})
        cells = " | ".join(cell(scores, task) for task in TASKS)
        mean = f"{100 * scores.mean:.1f}" if len(scores.tasks) == len(TASKS) else "-"
        yield f"| {name} | {seeds} | {cells} | {mean} |"
        alike = PUBLISHED.get(ALIKE.get(name, ""))
        if alike:
            cells = " | ".join(f"{alike[task]:.1f}" for task in TASKS)
            mean = f"{sum(alike.values()) / len(alike):.1f}"
            yield f"| *published: {ALIKE[name]}* | 1 | {cells} | {mean} |"


def main() -> None:
    """Read the runs of the folder, or those that are kept, and print the table."""
    if len(sys.argv) > 1:
        write_rows(KEPT, read_rows(Path(sys.argv[1]) / "runs.csv"))
    rows = read_rows(KEPT)
    print("\n".join(lines(rows)))
    seconds = sum(row.outcome.seconds for row in rows)
    print(f"\n{len(rows)} runs, {seconds / 60:.0f} core-minutes")


if __name__ == "__main__":
    main()
