"""Checks of settings, and quantities and durations as people write them."""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from star.base.errors import UserError, shown

UNITS = {
    **{"": 1, "k": 10**3, "M": 10**6, "G": 10**9},
    **{"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
}
SECONDS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
LARGEST_SEED = 2**63 - 1  # what torch's generators take
_QUANTITY = re.compile(r"\s*(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")


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
    expect(key, path, is_utf8, "a name in UTF-8")


def expect_seed(seed: int) -> None:
    """Raise `UserError` for a seed that torch's generators do not take."""
    expected = f"a whole number from 0 to {LARGEST_SEED}"
    expect("seed", seed, 0 <= seed <= LARGEST_SEED, expected)


def parse_quantity(key: str, value: Any) -> float:
    """A number, or text such as 4MB, 1.5M or 2GiB. Raises `UserError` naming the key otherwise."""
    match = _QUANTITY.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None or match["unit"] not in UNITS:
        units = ", ".join(unit for unit in UNITS if unit)
        raise UserError(
            f"{key}={value}: expected a number, alone or with a unit of {units}, such as 4MB"
        )
    return float(match["number"]) * UNITS[match["unit"]]


def parse_duration(key: str, value: Any) -> float:
    """Seconds from a number or text such as 90min, 2h or 1.5d. Raises `UserError` otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-z]*)\s*", str(value))
    if match is None or match[2] not in SECONDS or float(match[1]) <= 0:
        raise UserError(
            f"{key}={value}: expected a positive number of seconds, or with a unit such as "
            "90min, 2h or 1d"
        )
    return float(match[1]) * SECONDS[match[2]]


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
