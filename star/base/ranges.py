"""Which numbers a setting may be: a literal table beside the dataclass that holds the settings.

The largest ones are far above all use; beyond them a program would only hang or fill the memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from star.base.errors import UserError, shown
from star.base.settings import expect


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, both included."""

    least: float
    most: float
    above: bool = False  # then not `least` itself

    def expected(self, value: object) -> str:
        """What is expected in place of a value, in words; nothing when it lies within."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            return "a number"
        if value < self.least or (self.above and value == self.least):
            return f"{'above' if self.above else 'at least'} {self.least:g}"
        return f"at most {self.most:,}" if value > self.most else ""


def fault(prefix: str, settings: object, ranges: Mapping[str, Range]) -> str:
    """The first setting that is out of its range, in one line; nothing when there is none.

    Args:
        prefix: of the keys, such as `training.`.
        settings: a dataclass; a field that is None has no value to judge.
        ranges: by field.
    """
    for name, allowed in ranges.items():
        value = getattr(settings, name)
        expected = "" if value is None else allowed.expected(value)
        if expected:
            return f"{prefix}{name}={shown(str(value))}: expected {expected}"
    return ""


def expect_ranges(prefix: str, settings: object, ranges: Mapping[str, Range]) -> None:
    """Raise `UserError` with the `fault` of settings that have one."""
    message = fault(prefix, settings, ranges)
    if message:
        raise UserError(message)


def expect_each(key: str, values: Sequence[object], allowed: Range) -> None:
    """Raise `UserError` naming the key unless every number of a list lies within the range."""
    expected = next(filter(None, map(allowed.expected, values)), "")
    expect(key, values, not expected, f"numbers, each {expected}")
