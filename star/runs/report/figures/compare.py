"""Several runs beside each other: fronts, and the hypervolume that they attain.

Runs of the same settings but for the seed are one group, whose mean has an interval over seeds.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from star.base.errors import UserError
from star.base.settings import differences
from star.evaluation.pareto import Values
from star.evaluation.statistics import mean_interval, pooled_spread
from star.genomes import ModelConfig
from star.genomes.model_config import LATER
from star.runs.report.content import Content, visible
from star.runs.report.figures.base import Figure, Row, quantitative, rounded, tooltip
from star.runs.report.figures.progress import growth

# Settings that may differ between runs of one group: where and how a search ran, not what it did.
ALIKE = {
    *("seed", "run_dir", "ledger", "executor", "limits", "report", "experiment_name"),
    *("loggers", "plugins", "library"),
}
NUMBERS = ("model", "cache", "training", "data")  # what losses and costs are numbers of
POINTS = 100  # of a curve


def by_common_objectives(contents: Sequence[Content]) -> list[Content]:
    """The runs, their candidates competing by the objectives that all of them minimised.

    Raises `UserError` for runs that have none in common.
    """
    common = [
        objective.name
        for objective in contents[0].minimised
        if all(objective.name in {o.name for o in other.minimised} for other in contents)
    ]
    if not common:
        each = "; ".join(
            f"{content.run.path}: {', '.join(o.name for o in content.minimised) or 'none'}"
            for content in contents
        )
        raise UserError(f"run=[...]: expected runs with an objective in common, found {each}")
    return [Content(content.run, content.label, common) for content in contents]


def _settings(content: Content) -> dict[str, Any]:
    """Of a run; sizes of models that an earlier version did not have are as they were then."""
    usual = asdict(ModelConfig())
    later = {name: usual[name] for name in LATER}
    return {**content.settings, "model": {**later, **content.section("model")}}


def other_questions(contents: Sequence[Content]) -> list[str]:
    """Settings in which runs differ that make their numbers hard to compare, a line each."""
    first, *others = ({n: _settings(c).get(n) or {} for n in NUMBERS} for c in contents)
    return list(dict.fromkeys(line for other in others for line in differences(first, other)))


def common_reference(contents: Sequence[Content]) -> Values | None:
    """One reference of the hypervolume for all runs: the worst of theirs."""
    known = [content.reference for content in contents if content.reference is not None]
    return np.max(np.array(known), axis=0) if known else None


def groups(contents: Sequence[Content]) -> list[list[Content]]:
    """The runs, those of the same settings but for the seed together."""
    found: list[list[Content]] = []
    for content in contents:
        own = next(
            (
                group
                for group in found
                if not [*differences(_settings(group[0]), _settings(content), ALIKE)]
            ),
            None,
        )
        if own is None:
            found.append([content])
        else:
            own.append(content)
    return found


def group_names(grouped: Sequence[Sequence[Content]]) -> list[str]:
    """What each group is called: its experiment, with a number where several have one name."""
    names = [group[0].settings.get("experiment_name", group[0].label) for group in grouped]
    return _numbered([visible(name) for name in names])


def hypervolumes(contents: Sequence[Content]) -> list[Figure]:
    """Attained hypervolume by evaluations, and at the end, with the same reference for all."""
    reference = common_reference(contents)
    if reference is None:
        return []
    most = max(len(content.candidates) for content in contents)
    places = np.unique(np.linspace(1, most, POINTS).round()).astype(int)
    curves, ends = [], []
    grouped = groups(contents)
    for name, group in zip(group_names(grouped), grouped, strict=True):
        values = np.array([_attained(content, reference, places.tolist()) for content in group])
        known = places <= min(len(content.candidates) for content in group)
        for place, column in zip(places[known], values[:, known].T, strict=True):
            curves.append({"evaluations": int(place), **_mean(name, column)})
        last = [_attained(content, reference, [len(content.candidates)])[0] for content in group]
        ends.append(_mean(name, np.array(last)))
    return [
        Figure(
            "compare_hypervolume",
            "Attained hypervolume",
            "Mean over the runs of a group, with the 95% interval of that mean where there are "
            "several seeds; one reference point for all.",
            _curves(),
            curves,
            height=320,
        ),
        Figure(
            "compare_end",
            "Hypervolume at the end",
            "The same at the end of each group's runs.",
            _ends(),
            ends,
            height=max(100, 40 * len(ends)),
        ),
    ]


def _attained(content: Content, reference: Values, places: Sequence[int]) -> list[float]:
    """Hypervolume after so many evaluations each."""
    grown = growth(content, reference)
    counts = np.array([evaluations for evaluations, *_ in grown])
    volumes = [0.0, *(volume for _, _, volume, _ in grown)]
    return [volumes[int(np.searchsorted(counts, place, side="right"))] for place in places]


def _mean(name: str, values: Values) -> dict[str, Any]:
    mean = float(values.mean())
    low, high = mean_interval(mean, len(values), pooled_spread([values]))
    return {
        "group": name,
        "runs": len(values),
        "hypervolume": rounded(mean),
        "low": rounded(low),
        "high": rounded(high),
    }


GROUP = {"field": "group", "type": "nominal", "title": None}
SHOWN = tooltip("group", "runs", "evaluations", "hypervolume", "low", "high")


def _curves() -> dict[str, Any]:
    y = quantitative("hypervolume", "hypervolume")
    return {
        "encoding": {
            "x": quantitative("evaluations", "architectures evaluated"),
            "color": GROUP,
        },
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "area", "opacity": 0.18, "interpolate": "step-after"},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "interpolate": "step-after"},
                "encoding": {"y": y, "tooltip": SHOWN},
            },
        ],
    }


def _ends() -> dict[str, Any]:
    return {
        "encoding": {"y": {**GROUP, "axis": {"labelLimit": 220}}},
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule"},
                "encoding": {
                    "x": quantitative("low", "hypervolume"),
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "color": "#0072b2"},
                "encoding": {
                    "x": quantitative("hypervolume", "hypervolume"),
                    "tooltip": SHOWN,
                },
            },
        ],
    }


def labels(contents: Sequence[Content]) -> list[str]:
    """What each run is called, with a number where several have one name."""
    return _numbered([content.label for content in contents])


def _numbered(names: Sequence[str]) -> list[str]:
    """Names, those that are there several times with a number."""
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def labelled(contents: Sequence[Content]) -> list[Row]:
    """Rows of all candidates with the run that each is of, and a key that no other one has."""
    return [
        {**row, "run": label, "key": f"{label}/{row['id']}"}
        for label, content in zip(labels(contents), contents, strict=True)
        for row in content.rows
    ]
