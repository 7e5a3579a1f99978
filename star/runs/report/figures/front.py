"""The front: candidates by two recorded quantities.

The specification is a template with words that begin with `@`; `page.js` fills in others of the
encodings that are made here, for the axes and colours that are chosen on a page.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from star.runs.report.content import FRONT, TRAINED, Content, Quantity
from star.runs.report.families import BACKBONES
from star.runs.report.figures.base import Figure, Row, quantitative

IS_FRONT = f"datum.state === '{FRONT}'"
# What candidates are drawn as.
MARKS = {
    "candidate": "circle",
    "known design": "diamond",
    "seed": "square",
    "stopped": "triangle-down",
    "infeasible": "cross",
}
RUN = "run"  # the column of several runs on one page
# What candidates can be coloured by.
COLOURS: dict[str, dict[str, Any]] = {
    "family": {
        "field": "family",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(BACKBONES), "range": list(BACKBONES.values())},
    },
    "generation": {
        "field": "generation",
        "type": "quantitative",
        "scale": {"scheme": "viridis"},
        "legend": {"format": "d", "tickMinStep": 1},
    },
    "origin": {"field": "origin", "type": "nominal", "title": None},
    "state": {"field": "state", "type": "nominal", "title": None},
}
RUNS = {"field": RUN, "type": "nominal", "title": None}
TEMPLATE: dict[str, Any] = {
    "encoding": {"x": "@x-encoding", "y": "@y-encoding"},
    "layer": [
        {
            "name": "line",
            "transform": [
                {"filter": IS_FRONT},
                {
                    "window": [{"op": "@y-best", "field": "@y", "as": "best"}],
                    "sort": [{"field": "@x", "order": "@x-order"}],
                    "groupby": ["@line"],
                    "frame": [None, 0],
                },
                {"filter": "datum.best === datum['@y']"},
            ],
            "mark": {
                "type": "line",
                "interpolate": "@x-stairs",
                "strokeWidth": 1.5,
                "strokeDash": [4, 3],
                "opacity": 0.8,
                "color": "#808080",
                "tooltip": None,
            },
            "encoding": {"detail": {"field": "@line"}},
        },
        {
            "name": "intervals",
            "transform": [{"filter": "isValid(datum['@y_low'])"}],
            "mark": {"type": "rule", "opacity": 0.5, "tooltip": None},
            "encoding": {
                "y": {"field": "@y_low", "type": "quantitative"},
                "y2": {"field": "@y_high"},
            },
        },
        {
            "name": "intervals across",
            "transform": [{"filter": "isValid(datum['@x_low'])"}],
            "mark": {"type": "rule", "opacity": 0.5, "tooltip": None},
            "encoding": {
                "x": {"field": "@x_low", "type": "quantitative"},
                "x2": {"field": "@x_high"},
            },
        },
        {
            "mark": {"type": "point", "size": 75, "strokeWidth": 1.6, "cursor": "pointer"},
            "encoding": {
                "stroke": "@colour",
                "fill": "@fill",
                "fillOpacity": {"condition": {"test": IS_FRONT, "value": 0.9}, "value": 0.08},
                "opacity": {"condition": {"test": IS_FRONT, "value": 1}, "value": 0.7},
                "shape": {
                    "field": "mark",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": list(MARKS), "range": list(MARKS.values())},
                },
                "tooltip": "@tooltip",
            },
        },
        {
            "name": "names",
            "transform": [{"filter": "datum.design"}],
            "mark": {"type": "text", "align": "left", "dx": 9, "dy": -7, "fontSize": 11,
                     "tooltip": None},
            "encoding": {"text": {"field": "design"}},
        },
    ],
}  # fmt: skip


def encoding(quantity: Quantity) -> dict[str, Any]:
    """A quantity as an axis."""
    return quantitative(quantity.name, quantity.label, quantity.is_logarithmic)


def words(along: Quantity, up: Quantity) -> dict[str, Any]:
    """What the words of the template stand for, but for colours, lines and what hovering shows."""
    return {**across(along), **upwards(up)}


def across(quantity: Quantity) -> dict[str, Any]:
    """Words of the quantity along the x axis.

    A front is a staircase: until something dearer is better, what is cheaper stays the best. Where
    more is better, it is the other way round.
    """
    return {
        "@x-encoding": encoding(quantity),
        "@x-order": "descending" if quantity.is_maximised else "ascending",
        "@x-stairs": "step-before" if quantity.is_maximised else "step-after",
        "@x": quantity.name,
    }


def upwards(quantity: Quantity) -> dict[str, Any]:
    """Words of the quantity along the y axis."""
    return {
        "@y-encoding": encoding(quantity),
        "@y-best": "max" if quantity.is_maximised else "min",
        "@y": quantity.name,
    }


def filled(words: Mapping[str, Any]) -> dict[str, Any]:
    """The template with its words replaced: whole texts by anything, parts of texts by texts."""
    text = json.dumps(TEMPLATE)
    for word, value in words.items():
        text = text.replace(json.dumps(word), json.dumps(value))
    for word in ("@x", "@y"):
        text = text.replace(word, words[word])
    return json.loads(text)


def with_rows(
    specification: dict[str, Any], along: str, up: str, rows: Sequence[Row]
) -> dict[str, Any]:
    """The same without the layers that these rows have nothing for: Vega warns of empty ones.

    Args:
        specification: as `filled` gives it.
        along: name of the quantity along the x axis.
        up: along the y axis.
        rows: what is drawn.
    """
    there = {
        "line": any(row["state"] == FRONT for row in rows),
        "intervals": any(f"{up}_low" in row for row in rows),
        "intervals across": any(f"{along}_low" in row for row in rows),
        "names": any(row["design"] for row in rows),
    }
    layers = [layer for layer in specification["layer"] if there.get(layer.get("name"), True)]
    return {**specification, "layer": layers}


def axes(content: Content) -> tuple[Quantity, Quantity]:
    """The quantities that the figure begins with: a cost along, a quality up."""
    known = {quantity.name: quantity for quantity in content.quantities}
    chosen = [q for q in content.quantities if q.is_minimised]
    wanted = [q for q in chosen if q.is_logarithmic]
    costs = [*wanted, *(known[n] for n in ("cache_bytes", "parameters") if n in known)]
    rest = [q for q in chosen if q not in wanted]
    qualities = [*rest, *(known[n] for n in ("validation_loss",) if n in known)]
    along = [*costs, *content.quantities][0]
    up = next(q for q in (*qualities, *content.quantities) if q != along)
    return along, up


def front_figure(content: Content, rows: Sequence[Row], is_of_several: bool = False) -> Figure:
    """Candidates that were trained to the end, the front joined by a line.

    Args:
        content: the run, or the first of several, which says what the axes are.
        rows: candidates, of several runs with the run that each is of.
        is_of_several: then they are coloured by run, and each run has its line.
    """
    along, up = axes(content)
    needed = {along.name, up.name}
    drawn = [row for row in rows if row["state"] in (FRONT, TRAINED) and needed <= {*row}]
    colour = RUNS if is_of_several else COLOURS["family"]
    specification = filled(
        {
            **words(along, up),
            "@line": RUN if is_of_several else "state",
            "@colour": colour,
            "@fill": colour,
            "@tooltip": None,
        }
    )
    return Figure(
        "front",
        "Front",
        "Each point is a design that was trained to the end. Filled ones are on the front over all "
        "objectives; the line joins those of them that are best by these two axes.",
        with_rows(specification, along.name, up.name, drawn),
        drawn,
        height=340,
    )
