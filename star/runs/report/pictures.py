"""Pictures by matplotlib, for a report where vl-convert is not installed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from star.runs.report.content import FRONT, TRAINED, Content
from star.runs.report.families import BACKBONES
from star.runs.report.figures.compare import common_reference
from star.runs.report.figures.front import axes
from star.runs.report.figures.progress import growth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = ("png", "svg")


def drawings(contents: Sequence[Content]) -> dict[str, dict[str, bytes]]:
    """The front, and for one run its hypervolume, as files by name and kind."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    made = {}
    with matplotlib.rc_context({"svg.fonttype": "none", "text.parse_math": False}):
        for name, draw in (("front", _front), ("hypervolume", _hypervolume)):
            figure, place = plt.subplots(figsize=(7, 4.2), layout="constrained")
            draw(place, contents)
            made[name] = {}
            for kind in PICTURES:
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=150)
                made[name][kind] = buffer.getvalue()
            plt.close(figure)
    return made


def _front(place: Axes, contents: Sequence[Content]) -> None:
    along, up = axes(contents[0])
    for content, shape in zip(contents, cycle("osD^v"), strict=False):
        rows = [r for r in content.rows if {along.name, up.name} <= {*r}]
        for family, colour in BACKBONES.items():
            for state, alpha in ((FRONT, 1.0), (TRAINED, 0.3)):
                chosen = [r for r in rows if r["family"] == family and r["state"] == state]
                label = family if state == FRONT and content is contents[0] and chosen else None
                place.scatter(
                    [r[along.name] for r in chosen], [r[up.name] for r in chosen],
                    color=colour, alpha=alpha, label=label, marker=shape,
                )  # fmt: skip
        for row in rows:
            if row["design"] and row["state"] in (FRONT, TRAINED):
                place.annotate(row["design"], (row[along.name], row[up.name]), fontsize=8)
    if along.is_logarithmic:
        place.set_xscale("log")
    place.set(xlabel=along.label, ylabel=up.label)
    if place.get_legend_handles_labels()[0]:
        place.legend(frameon=False, fontsize=8)


def _hypervolume(place: Axes, contents: Sequence[Content]) -> None:
    reference = common_reference(contents)
    for content in contents:
        grown = growth(content, reference)
        place.step([n for n, *_ in grown], [v for _, _, v, _ in grown], where="post",
                   label=content.label)  # fmt: skip
    place.set(xlabel="architectures evaluated", ylabel="hypervolume")
    if len(contents) > 1:
        place.legend(frameon=False, fontsize=8)
