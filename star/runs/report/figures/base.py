"""What a figure is: a specification of Vega-Lite and the rows that it draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from star.base.csv_files import csv_text

WIDTH, HEIGHT = 420, 260  # pixels of a figure in a file; on a page it is as wide as its place
ROWS = "rows"  # the name of a figure's data in its specification

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One picture of a report."""

    name: str  # of its files
    title: str
    text: str  # what it shows, in a sentence or two
    specification: dict[str, Any]  # without data, width and height
    rows: Sequence[Row]
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.rows

    def csv(self) -> str:
        """Its data."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        return csv_text(names, self.rows)

    def whole(self) -> dict[str, Any]:
        """The specification with its data and size, as a file of its own has it."""
        size = {} if "hconcat" in self.specification else {"width": WIDTH, "height": self.height}
        return {**size, **self.specification, "data": {"name": ROWS, "values": list(self.rows)}}


def quantitative(name: str, title: str, is_logarithmic: bool = False) -> dict[str, Any]:
    """An encoding of a number."""
    return {
        "field": name,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log"} if is_logarithmic else {"zero": False},
        "axis": {"format": "~s"} if is_logarithmic else {},
    }


def tooltip(*names: str | tuple[str, str]) -> list[dict[str, str]]:
    """What hovering shows: columns, each alone or with its heading."""
    pairs = [(name, name.replace("_", " ")) if isinstance(name, str) else name for name in names]
    return [{"field": name, "title": title} for name, title in pairs]


def thinned(length: int, most: int) -> list[int]:
    """Places of at most so many of so many rows, evenly, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(n * (length - 1) / (most - 1)) for n in range(most)})


def rounded(value: float, digits: int = 6) -> float | None:
    """A number for a page: six digits, None where it is none."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
