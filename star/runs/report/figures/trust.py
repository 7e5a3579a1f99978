"""How far to believe the numbers: the search beside longer trainings of its designs."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from star.evaluation.statistics import Correlation, rank_correlations
from star.runs.report.content import Content
from star.runs.report.figures.base import Figure, Row, quantitative, tooltip

SEARCHED = "search_"


def validated_names(content: Content) -> list[str]:
    """Quantities that both the search and its validation measured, objectives first."""
    columns = {name for row in content.validated.values() for name in row}
    names = [*(o.name for o in content.minimised), *content.run.metrics]
    return [name for name in dict.fromkeys(names) if {name, f"{SEARCHED}{name}"} <= columns]


def _pairs(content: Content, name: str) -> dict[str, tuple[float, float]]:
    """By genome id, a quantity in the search and after the longer training."""
    found = {}
    for genome_id in content.validated:
        before = content.validated_number(genome_id, f"{SEARCHED}{name}")
        after = content.validated_number(genome_id, name)
        if before is not None and after is not None:
            found[genome_id] = (before, after)
    return found


def correlation(content: Content, name: str) -> tuple[Correlation, int]:
    """Spearman's correlation of a quantity between search and validation, and over how many."""
    values = np.array([*_pairs(content, name).values()]).reshape(-1, 2)
    return rank_correlations(values[:, 0], values[:, 1])[0], len(values)


def trust(content: Content) -> list[Figure]:
    """For each objective that was validated: the search's value against the longer training's."""
    chosen = {o.name for o in content.minimised}
    names = [name for name in validated_names(content) if name in chosen]
    return [_scatter(content, name) for name in names]


def _scatter(content: Content, name: str) -> Figure:
    label, pairs = name.replace("_", " "), _pairs(content, name)
    found, count = correlation(content, name)
    sign = next((o.sign for o in content.minimised if o.name == name), 1)
    values = np.array([*pairs.values()]).reshape(-1, 2)
    ranks = [rankdata(sign * values[:, side], method="min").astype(int) for side in (0, 1)]
    rows: list[Row] = [
        {
            "id": genome_id,
            "design": content.designs.get(genome_id, ""),
            "role": str(content.validated[genome_id].get("role", "")),
            "search": before,
            "validated": after,
            "low": content.validated_number(genome_id, f"{name}_low"),
            "high": content.validated_number(genome_id, f"{name}_high"),
            "rank in the search": int(ranks[0][place]),
            "validated rank": int(ranks[1][place]),
            "on front": "yes" if is_on_front(content, genome_id) else "no",
        }
        for place, (genome_id, (before, after)) in enumerate(pairs.items())
    ]
    return Figure(
        f"trust_{name}",
        f"Search against longer training: {label}",
        f"Rank correlation (Spearman) {found} over {count} designs.",
        _specification(label, has_intervals=any(row["low"] is not None for row in rows),
                       has_names=any(row["design"] for row in rows)),
        rows,
    )  # fmt: skip


def is_on_front(content: Content, genome_id: str) -> bool:
    """Whether no validated design dominates it."""
    return str(content.validated[genome_id].get("on_front")) == "True"


def _specification(label: str, has_intervals: bool, has_names: bool) -> dict[str, Any]:
    """One value against the other, with intervals and the names of known designs.

    Args:
        label: of the quantity.
        has_intervals: whether any row has one; Vega warns of layers without rows.
        has_names: whether any row is a known design.
    """
    intervals = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "opacity": 0.5},
        "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
    }
    points = {
        "mark": {"type": "point", "size": 60, "filled": True, "opacity": 0.9},
        "encoding": {
            "color": {
                "field": "role",
                "type": "nominal",
                "title": None,
                "scale": {"range": ["#0072b2", "#e69f00", "#8c8c8c"]},
            },
            "tooltip": [
                *tooltip("id", "design", "role"),
                *({"field": key, "type": "quantitative", "format": ".4~g"}
                  for key in ("search", "validated", "rank in the search", "validated rank")),
                *tooltip(("on front", "on the validated front")),
            ],
        },
    }  # fmt: skip
    names = {
        "transform": [{"filter": "datum.design"}],
        "mark": {"type": "text", "align": "left", "dx": 7, "dy": -6, "fontSize": 10},
        "encoding": {"text": {"field": "design"}},
    }
    return {
        "encoding": {
            "x": quantitative("search", f"{label} in the search"),
            "y": quantitative("validated", f"validated {label}"),
        },
        "layer": [
            *([intervals] if has_intervals else []),
            points,
            *([names] if has_names else []),
        ],
    }
