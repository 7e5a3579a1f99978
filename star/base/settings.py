"""Checks of settings, and quantities and durations as people write them."""

import math
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from star.base.errors import UserError, shown

SCALES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BYTES = {
    **{"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
}
UNITS = {**SCALES, **BYTES}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
LARGEST_SEED = 2**63 - 1  # what torch's generators take
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?P<unit>[A-Za-z]*)\s*", re.ASCII)
_TIME = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)", re.ASCII)
_DURATION = re.compile(rf"(?:{_TIME.pattern})+\s*", re.ASCII)


def expect(key: str, value: object, holds: bool, expected: str) -> None:
    """Raise `UserError` naming the key, its value and what was expected, unless it holds."""
    if not holds:
        raise UserError(f"{key}={shown(str(value))}: expected {expected}")


def expect_one_of(key: str, value: object, choices: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Raise `UserError` naming the key, its value and the choices, unless it is one of them."""
    expect(key, value, value in choices, f"one of {', '.join(choices)}")


def expect_utf8(key: str, path: str | None) -> None:
    """Raise `UserError` for a path whose bytes are not UTF-8, which files of weights need."""
    is_utf8 = path is None or not any("\ud800" <= character <= "\udfff" for character in path)
    expect(key, path, is_utf8, "a name in UTF-8 (PYTHONUTF8=1 reads one under a C locale)")


def expect_seed(seed: int, key: str = "seed") -> None:
    """Raise `UserError` for a seed that torch's generators do not take. key: names it."""
    expected = f"a whole number from 0 to {LARGEST_SEED}"
    expect(key, seed, 0 <= seed <= LARGEST_SEED, expected)


def parse_quantity(key: str, value: Any, units: Mapping[str, float] = UNITS) -> float:
    """A number, or text such as 64kB, 1.5M or 2GiB. Raises `UserError` naming the key otherwise.

    Args:
        key: whose value it is.
        value: number or text.
        units: what may follow the number, with what each is worth.
    """
    match = _QUANTITY.fullmatch(str(value)) if not isinstance(value, bool) else None
    number = float(match["number"]) * units.get(match["unit"], math.inf) if match else math.inf
    if not math.isfinite(number):
        known = ", ".join(unit for unit in units if unit)
        example = "4MB" if "MB" in units else "4M"
        raise UserError(
            f"{key}={shown(str(value))}: expected a number, alone or with a unit of {known}, such "
            f"as {example}"
        )
    return number


def size_text(count: float) -> str:
    """Bytes as people read them: `150.99 MB`, `6.1 kB` or `96 B`."""
    if count >= 1e6:
        return f"{count / 1e6:,.2f} MB"
    return f"{count / 1e3:,.1f} kB" if count >= 1e3 else f"{count:,.0f} B"


def parse_duration(key: str, value: Any, unit: str = "s") -> float:
    """A time from a number or text such as 90s, 1h30m or 5ms. Raises `UserError` otherwise.

    Args:
        key: whose value it is.
        value: number or text.
        unit: of `SECONDS`, of a number alone and of the result.
    """
    text = f"{value}{unit}" if re.fullmatch(_NUMBER, str(value), re.ASCII) else str(value)
    parts = _TIME.findall(text) if _DURATION.fullmatch(text) else []
    units = [SECONDS.get(name, 0) / SECONDS[unit] for _, name in parts]
    time = sum(float(number) * one for (number, _), one in zip(parts, units, strict=True))
    if units != sorted(set(units), reverse=True):  # "30m1h" is a slip
        time = 0.0
    if not 0 < time < math.inf or 0 in units:
        expected = "seconds, or a duration such as 90s, 15m, 1h30m or 2d"
        if unit != "s":
            expected = f"{unit}, or a duration such as 1.5ms or 2s"
        raise UserError(f"{key}={shown(str(value))}: expected a positive number of {expected}")
    return time


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted keys: `{"model": {"width": 64}}` has `model.width`."""
    found = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    free: Set[str] = frozenset(),
    prefix: str = "",
) -> Iterator[str]:
    """Each setting that differs, as `key is <old> there, <new> here`.

    Args:
        there: the settings of before, as nested mappings.
        here: those of now; a key that is missing counts as None.
        free: dotted keys that may differ.
        prefix: of the keys that are named.
    """
    for key in dict.fromkeys((*there, *here)):
        old, new = there.get(key), here.get(key)
        if prefix + key in free or old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, free, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} is {old} there, {new} here"
