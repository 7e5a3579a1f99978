"""How a search went: its hypervolume, losses, failures, offspring, and where its time went."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from star.evaluation.objectives import LOSS
from star.evaluation.pareto import Values, hypervolume
from star.evaluation.result import STOPPED
from star.evaluation.statistics import non_dominated
from star.runs.columns import REPAIR
from star.runs.names import BASELINE
from star.runs.report.content import FRONT, INFEASIBLE, TRAINED, Content
from star.runs.report.figures.base import Figure, Row, quantitative, rounded, thinned, tooltip
from star.runs.run import RunCandidate

MOST_POINTS = 300  # of a line
GENERATION = {
    "field": "generation",
    "type": "ordinal",
    "title": "generation",
    "axis": {"labelAngle": 0, "labelOverlap": True},
}
OUTCOMES = (FRONT, TRAINED, STOPPED, INFEASIBLE)
OUTCOME_COLOURS = ["#0072b2", "#56b4e9", "#bdbdbd", "#d55e00"]
# Kinds of failure get a colour in order of how many there are.
PALETTE = ["#d55e00", "#e69f00", "#cc79a7", "#0072b2", "#009e73", "#56b4e9", "#8c8c8c"]


def growth(
    content: Content, reference: Values | None = None
) -> list[tuple[int, int, float, RunCandidate]]:
    """Evaluations, training tokens and hypervolume after each candidate that changed the front.

    Args:
        content: of the run.
        reference: of the hypervolume; the run's own unless it is given.
    """
    reference = content.reference if reference is None else reference
    if reference is None:
        return []
    tokens = _tokens(content)
    front = np.empty((0, len(content.minimised)))
    found, spent = [], 0
    for number, candidate in enumerate(content.candidates, 1):
        spent += tokens.get(candidate.genome_id, 0)
        if not content.is_competing(candidate):
            continue
        value = content.values([candidate])
        if len(front) and ((front <= value).all(axis=1)).any():
            continue
        front = np.concatenate([front, value])
        front = front[non_dominated(front)]
        found.append((number, spent, hypervolume(front, reference), candidate))
    return found


def _tokens(content: Content) -> dict[str, int]:
    return {name: int(row.get("train_tokens", 0)) for name, row in content.others.items()}


def hypervolumes(content: Content) -> list[Figure]:
    """Hypervolume against evaluations and against training tokens."""
    grown = growth(content)
    rows: list[Row] = [
        {
            "evaluations": evaluations,
            "tokens": tokens,
            "hypervolume": rounded(volume),
            "generation": candidate.generation,
            "id": candidate.genome_id,
        }
        for evaluations, tokens, volume, candidate in grown
    ]
    rows = [rows[place] for place in thinned(len(rows), MOST_POINTS)]
    if rows:  # to the end, where nothing changed any more
        total = sum(_tokens(content).values())
        last = {**rows[-1], "evaluations": len(content.candidates), "tokens": total, "id": ""}
        rows.append(last)
    words = (
        "What the front dominates of the objectives' box, which ends a tenth beyond the worst of "
        "the known designs, or without any of the first generation"
    )
    return [
        Figure(
            "hypervolume",
            "Hypervolume by evaluations",
            f"{words}, after so many architectures.",
            _line("evaluations", "architectures evaluated"),
            rows,
        ),
        Figure(
            "hypervolume_tokens",
            "Hypervolume by training",
            f"{words}, after so many training tokens.",
            _line("tokens", "training tokens"),
            rows if any(row["tokens"] for row in rows) else [],
        ),
    ]


def _line(along: str, title: str) -> dict[str, Any]:
    x = {**quantitative(along, title), "axis": {"format": "~s"}}
    return {
        "encoding": {"x": x, "y": quantitative("hypervolume", "hypervolume")},
        "layer": [
            {"mark": {"type": "line", "interpolate": "step-after", "color": "#0072b2"}},
            {
                "transform": [{"filter": "datum.id"}],
                "mark": {"type": "point", "filled": True, "size": 28, "color": "#0072b2"},
                "encoding": {"tooltip": tooltip("id", "generation", along, "hypervolume")},
            },
        ],
    }


def losses(content: Content) -> Figure:
    """The loss of each candidate by generation, and their median."""
    name = LOSS if LOSS in content.run.metrics else ""
    objective = content.objectives.get(name)
    rows: list[Row] = [
        {**{key: row[key] for key in ("id", "name", "generation", "state")}, name: row[name]}
        for row, candidate in zip(content.rows, content.candidates, strict=True)
        if name in row and candidate.origin != BASELINE
    ]
    finished: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row["state"] in (FRONT, TRAINED):
            finished[row["generation"]].append(row[name])
    medians: list[Row] = [
        {"generation": generation, "median": rounded(statistics.median(values))}
        for generation, values in sorted(finished.items())
    ]
    places = thinned(len(rows), 5 * MOST_POINTS)
    drawn = "" if len(places) == len(rows) else f" Of {len(rows):,}, {len(places):,} are drawn."
    shown = tooltip("id", ("name", "composition"), "generation", "state", name)
    y = quantitative(name, objective.name.replace("_", " ") if objective else name)
    return Figure(
        "losses",
        "Losses by generation",
        "Every candidate at the end of its own training; those that were stopped early had less of "
        f"it. The line is the median of those that were trained to the end.{drawn}",
        {
            "encoding": {"x": GENERATION, "y": y},
            "layer": [
                {
                    "transform": [{"filter": "!isValid(datum.median)"}],
                    "mark": {"type": "point", "size": 36},
                    "encoding": {
                        "color": _outcome(),
                        "xOffset": {"field": "state", "type": "nominal"},
                        "tooltip": shown,
                    },
                },
                {
                    "transform": [{"filter": "isValid(datum.median)"}],
                    "mark": {"type": "line", "color": "#808080"},
                    "encoding": {"y": {**y, "field": "median"}},
                },
            ],
        },
        [*(rows[place] for place in places), *medians],
    )


def _outcome() -> dict[str, Any]:
    return {
        "field": "state",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(OUTCOMES), "range": OUTCOME_COLOURS},
    }


def outcomes(content: Content) -> Figure:
    """What became of the candidates of each generation."""
    counts: Counter[tuple[int, str]] = Counter(
        (row["generation"], row["state"]) for row in content.rows if row["origin"] != BASELINE
    )
    rows: list[Row] = [
        {"generation": generation, "state": state, "candidates": count}
        for (generation, state), count in sorted(counts.items())
    ]
    return Figure(
        "outcomes",
        "What became of the candidates",
        "On the front of the whole run, trained to the end, stopped early by successive halving, "
        "or infeasible.",
        _stacked("candidates", "candidates", _outcome(), ("generation", "state", "candidates")),
        rows,
    )


def _stacked(
    field: str, title: str, colour: dict[str, Any], shown: Sequence[str], along: Any = None
) -> dict[str, Any]:
    return {
        "mark": {"type": "bar"},
        "encoding": {
            "x": along or GENERATION,
            "y": {
                "field": field,
                "type": "quantitative",
                "title": title,
                "stack": True,
                "axis": {"tickMinStep": 1},
            },
            "color": colour,
            "tooltip": tooltip(*shown),
        },
    }


def failures(content: Content) -> Figure:
    """Why candidates were infeasible, by kind and generation."""
    counts: Counter[tuple[int, str]] = Counter()
    for candidate, row in zip(content.candidates, content.rows, strict=True):
        if row["state"] == INFEASIBLE and candidate.origin != BASELINE:
            kind = row["reason"].partition(":")[0].strip() or "unknown"
            counts[candidate.generation, kind] += 1
    rows: list[Row] = [
        {"generation": generation, "kind": kind, "candidates": count}
        for (generation, kind), count in sorted(counts.items())
    ]
    colour = {
        "field": "kind",
        "type": "nominal",
        "title": None,
        "scale": {"range": PALETTE},
    }
    return Figure(
        "failures",
        "Failures by kind",
        "over_budget: a constraint was exceeded, most often before any training.",
        _stacked("candidates", "candidates", colour, ("generation", "kind", "candidates")),
        rows,
    )


def validity(content: Content) -> Figure:
    """How many children needed repair, by generation."""
    children: Counter[int] = Counter()
    repaired: Counter[int] = Counter()
    for candidate in content.candidates:
        if candidate.parents:
            children[candidate.generation] += 1
            repaired[candidate.generation] += REPAIR in candidate.variation
    rows: list[Row] = [
        {
            "generation": generation,
            "children": count,
            "repaired": repaired[generation],
            "share": rounded(1 - repaired[generation] / count, 3),
        }
        for generation, count in sorted(children.items())
    ]
    return Figure(
        "validity",
        "Offspring that needed no repair",
        "Share of the children that variation made valid, and within the constraints on costs, by "
        "itself.",
        {
            "mark": {"type": "line", "point": True, "color": "#009e73"},
            "encoding": {
                "x": GENERATION,
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "share",
                    "scale": {"domain": [0, 1]},
                    "axis": {"format": "%"},
                },
                "tooltip": tooltip("generation", "children", "repaired"),
            },
        },
        rows,
    )


def time(content: Content) -> Figure:
    """Where the training time went."""
    seconds: defaultdict[tuple[int, str], float] = defaultdict(float)
    for candidate, row in zip(content.candidates, content.rows, strict=True):
        stage = BASELINE if candidate.origin == BASELINE else row["state"]
        seconds[candidate.generation, stage] += float(row.get("train_seconds", 0.0))
    rows: list[Row] = [
        {"generation": generation, "stage": stage, "seconds": rounded(spent, 4)}
        for (generation, stage), spent in sorted(seconds.items())
        if spent > 0
    ]
    order = [BASELINE, *OUTCOMES]
    colour = {
        "field": "stage",
        "type": "nominal",
        "title": None,
        "scale": {"domain": order, "range": ["#009e73", *OUTCOME_COLOURS]},
    }
    return Figure(
        "time",
        "Where the training time went",
        "Seconds of training, added up over workers, by what became of the candidate; infeasible "
        "ones spend theirs on what is asked before all training, such as recall, or fail later.",
        _stacked("seconds", "seconds", colour, ("generation", "stage", "seconds")),
        rows,
    )
