"""Whole numbers with units on a command line: `training.steps=5k`.

Settings of any type, such as limits, read their text themselves (`parse_quantity`); those that are
whole numbers get digits here, before OmegaConf checks their type.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from star.base.errors import UserError
from star.base.settings import parse_quantity


def in_digits(overrides: Sequence[str], schema: type) -> list[str]:
    """Overrides with plain digits for the whole numbers among them; others are left as they are.

    Args:
        overrides: as on the command line.
        schema: the dataclass of the settings; `GROUPS` holds those that a group chooses from.
    """
    return [_in_digits(override, schema) for override in overrides]


def _in_digits(override: str, schema: type) -> str:
    key, equals, text = override.partition("=")
    hints = list(_hints(schema, key.lstrip("+").split("."))) if equals else []
    if int in hints:
        return f"{key}={_digits(key, text)}"
    if list[int] in hints and re.fullmatch(r"\[.*\]", text):
        return f"{key}=[{','.join(_digits(key, part) for part in text[1:-1].split(','))}]"
    return override


def _hints(schema: type, path: Sequence[str]) -> Iterator[Any]:
    """The types that a key can have, without `None`."""
    first, *rest = path
    hint = get_type_hints(schema).get(first)
    groups: Mapping[str, Mapping[str, type]] = getattr(schema, "GROUPS", {})
    for kind in (hint, *groups.get(first, {}).values()):
        if rest and is_dataclass(kind):
            yield from _hints(kind, rest)  # type: ignore[arg-type]
        elif not rest:
            yield from (one for one in (kind, *_alternatives(kind)) if one is not type(None))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return () if hint is None or getattr(hint, "__origin__", None) is list else get_args(hint)


def _digits(key: str, text: str) -> str:
    """`5000` for `5k`; what is no whole number stays, for a message that names the type."""
    try:
        number = parse_quantity(key, text)
    except UserError:
        return text
    return text if re.fullmatch(r"\s*\d+\s*", text) or number % 1 else f"{number:.0f}"
