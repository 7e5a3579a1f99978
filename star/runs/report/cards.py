"""One architecture as a picture: its LIVs as a column of glyphs, arcs for what they share, bars for
what they cost.

The first LIV is at the top. An arc at the left joins LIVs that have featurizer weights in common, a
dashed one at the right a LIV and the one whose computed features it takes.
"""

from collections.abc import Sequence
from typing import Any

from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    liv_cache_bytes,
    parameter_count,
)
from star.runs.names import what_it_is
from star.runs.report.content import visible
from star.runs.report.families import FAMILIES, liv_family
from star.runs.report.figures.base import ROWS, tooltip

STEP = 26  # pixels of a LIV
WEIGHTS, FEATURES = "weights", "features"
NAMES = [family.name for family in FAMILIES]


def card_rows(
    genome: Genome, model: ModelConfig | None, cache: CacheSetting | None
) -> list[dict[str, Any]]:
    """What a card draws: a row a LIV and a row an arc (`kind` is `liv`, `weights` or `features`).

    Args:
        genome: a valid one.
        model: sizes that costs are counted at; None draws none.
        cache: what its generation cache is counted for.
    """
    parameters: Sequence[int | None] = [None] * genome.depth
    nbytes: Sequence[int | None] = [None] * genome.depth
    if model is not None and cache is not None:
        try:
            parameters = parameter_count(genome, model).per_liv
            nbytes = liv_cache_bytes(genome, model, cache)
        except GenomeError:  # of a run at other sizes than its settings say
            pass
    rows = [
        {
            "kind": "liv",
            "liv": index,
            "class": visible(liv_class.name),
            "family": liv_family(liv_class).name,
            "what": visible(what_it_is(genome, index)),
            "parameters": parameters[index],
            "cache": nbytes[index],
        }
        for index, liv_class in enumerate(genome.classes())
    ]
    return rows + _arcs(genome)


def _arcs(genome: Genome) -> list[dict[str, Any]]:
    """From each LIV that shares to the owner of what it shares."""
    arcs = []
    for index, sharing in enumerate(genome.sharing):
        for owner, groups in sharing.tied(index).items():
            arcs.append(_arc(WEIGHTS, owner, index, groups))
        if sharing.borrowed:
            arcs.append(_arc(FEATURES, sharing.feature_owner, index, sharing.borrowed))
    return arcs


def _arc(kind: str, owner: int, liv: int, groups: Sequence[str]) -> dict[str, Any]:
    return {
        "kind": kind,
        "owner": owner,
        "liv": liv,
        "middle": (owner + liv) / 2,
        "what": f"{', '.join(groups)} of LIV {owner}",
    }


def card_specification(depth: int) -> dict[str, Any]:
    """The picture of a card without its data. depth: number of LIVs."""
    height = STEP * depth
    vertical = {
        "field": "liv",
        "type": "quantitative",
        "scale": {"domain": [depth - 0.5, -0.5], "nice": False, "zero": False},
        "title": None,
    }
    bare = {**vertical, "axis": None}
    numbered = {**vertical, "axis": {"values": list(range(depth)), "grid": False, "format": "d",
                                     "domain": False, "ticks": False}}  # fmt: skip
    return {
        "data": {"name": ROWS},
        "spacing": 6,
        "hconcat": [
            _arcs_part(WEIGHTS, "left", numbered, height, depth),
            _glyphs(bare, height),
            _arcs_part(FEATURES, "right", bare, height, depth),
            _bars("parameters", "parameters", bare, height),
            _bars("cache", "cache, bytes", bare, height),
        ],
    }


def _arcs_part(
    kind: str, side: str, vertical: dict[str, Any], height: int, depth: int
) -> dict[str, Any]:
    """Arcs of one kind: each is a line over its two ends and a point between, far out."""
    away = f"(datum.liv - datum.owner) / {max(depth - 1, 1)}"
    far = f"{'-' if side == 'left' else ''}(0.25 + 0.75 * {away})"
    return {
        "width": 44,
        "height": height,
        "transform": [
            {"filter": f"datum.kind === '{kind}'"},
            {"calculate": "datum.owner + '-' + datum.liv", "as": "arc"},
            {"calculate": "datum.liv", "as": "end"},
            {"calculate": "datum.owner", "as": "start"},
            {"fold": ["start", "middle", "end"], "as": ["place", "at"]},
            {"calculate": f"datum.place === 'middle' ? {far} : 0", "as": "out"},
            {"calculate": "indexof(['start', 'middle', 'end'], datum.place)", "as": "order"},
        ],
        "mark": {
            "type": "line",
            "interpolate": "cardinal",
            "tension": 0.2,
            "strokeWidth": 1.8,
            "color": "#808080",
            **({"strokeDash": [4, 3]} if kind == FEATURES else {}),
        },
        "encoding": {
            "x": {
                "field": "out",
                "type": "quantitative",
                "axis": None,
                "scale": {"domain": [-1, 0] if side == "left" else [0, 1]},
            },
            "y": {**vertical, "field": "at"},
            "detail": {"field": "arc"},
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": tooltip(("what", f"shares {kind}")),
        },
    }


def _glyphs(vertical: dict[str, Any], height: int) -> dict[str, Any]:
    """A box a LIV in the colour of its family, with its class."""
    return {
        "width": 108,
        "height": height,
        "transform": [
            {"filter": "datum.kind === 'liv'"},
            {"calculate": "datum.liv - 0.42", "as": "above"},
            {"calculate": "datum.liv + 0.42", "as": "below"},
        ],
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadius": 5},
                "encoding": {
                    "y": {**vertical, "field": "above"},
                    "y2": {"field": "below"},
                    "color": {
                        "field": "family",
                        "type": "nominal",
                        "scale": {"domain": NAMES, "range": [f.colour for f in FAMILIES]},
                        "legend": None,
                    },
                    "tooltip": tooltip(("liv", "LIV"), "class", ("what", "what it is"), "family"),
                },
            },
            {
                "mark": {"type": "text", "fontSize": 11, "limit": 104, "tooltip": None},
                "encoding": {
                    "y": vertical,
                    "text": {"field": "class"},
                    "color": {
                        "condition": [
                            {"test": f"datum.family === '{family.name}'", "value": family.ink}
                            for family in FAMILIES
                        ],
                        "value": "#000000",
                    },
                },
            },
        ],
    }


def _bars(field: str, title: str, vertical: dict[str, Any], height: int) -> dict[str, Any]:
    """What each LIV costs."""
    return {
        "width": 84,
        "height": height,
        "transform": [
            {"filter": "datum.kind === 'liv'"},
            {"filter": f"isValid(datum.{field})"},
            {"calculate": "datum.liv - 0.3", "as": "above"},
            {"calculate": "datum.liv + 0.3", "as": "below"},
            {"calculate": "0", "as": "nothing"},
        ],
        "mark": {"type": "rect", "color": "#808080", "opacity": 0.75},
        "encoding": {
            "y": {**vertical, "field": "above"},
            "y2": {"field": "below"},
            "x": {
                "field": field,
                "type": "quantitative",
                "title": title,
                "axis": {"format": "~s", "tickCount": 3, "orient": "top", "grid": True},
                "scale": {"zero": True},
            },
            "x2": {"field": "nothing"},
            "tooltip": [
                {"field": "liv", "title": "LIV"},
                {"field": "class", "title": "class"},
                {"field": field, "title": title, "format": ",", "type": "quantitative"},
            ],
        },
    }


def card_picture(rows: Sequence[dict[str, Any]], title: str) -> dict[str, Any]:
    """A card with its data, for a file of its own."""
    depth = sum(row["kind"] == "liv" for row in rows)
    specification = card_specification(depth)
    legend = specification["hconcat"][1]["layer"][0]["encoding"]["color"]
    legend["legend"] = {"title": None, "columns": 4, "orient": "bottom"}
    there = [family for family in NAMES if any(row.get("family") == family for row in rows)]
    legend["scale"] = {
        "domain": there,
        "range": [family.colour for family in FAMILIES if family.name in there],
    }
    return {
        **specification,
        "title": {"text": visible(title), "anchor": "start", "fontSize": 13},
        "data": {"name": ROWS, "values": list(rows)},
    }
