"""Hard limits on objectives: static ones are decided before any training, trained ones after it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from star.base.errors import UserError

UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")


def parse_quantity(key: str, value: Any) -> float:
    """A number, or text such as 4MB, 1.5M or 2GiB. Raises `UserError` naming the key for anything
    else."""
    match = _QUANTITY.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None or match["unit"] not in UNITS:
        units = ", ".join(unit for unit in UNITS if unit)
        raise UserError(
            f"{key}={value}: expected a number, alone or with a unit of {units}, such as 4MB"
        )
    return float(match["number"]) * UNITS[match["unit"]]


@dataclass
class ConstraintsConfig:
    """The largest value of each objective that a candidate may have; None does not limit it. `4MB`,
    `1e6`, `1.5M`."""

    validation_loss: Any = None
    bits_per_byte: Any = None
    perplexity: Any = None
    parameters: Any = None
    cache_bytes: Any = None

    def largest(self) -> dict[str, float]:
        """The limits that are set, by objective. Raises `UserError` for one that is no positive
        number."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        limits = {
            name: parse_quantity(f"constraints.{name}", value) for name, value in given.items()
        }
        for name, limit in limits.items():
            if limit <= 0:
                raise UserError(f"constraints.{name}={given[name]}: expected a positive number")
        return limits


def violated(metrics: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Which limits the metrics exceed, in words; empty when none. Metrics that are not there yet
    violate nothing."""
    over = [
        (name, metrics[name], limit)
        for name, limit in limits.items()
        if metrics.get(name, 0.0) > limit
    ]
    return ", ".join(f"{name} {value:,.6g} above {limit:,.6g}" for name, value, limit in over)
