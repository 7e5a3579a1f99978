"""Whole numbers with units on a command line: `training.steps=5k`.

Settings of any type, such as limits, read their text themselves (`parse_quantity`); those that are
whole numbers get digits here, before OmegaConf checks their type.
"""

import re
from collections.abc import Sequence, Set

from star.base.errors import UserError
from star.base.schemas import alternatives, element, setting_types
from star.base.settings import parse_quantity


def in_digits(overrides: Sequence[str], schema: type) -> list[str]:
    """Overrides with plain digits for the whole numbers among them; others are left as they are.

    Args:
        overrides: as on the command line.
        schema: the dataclass of the settings; `GROUPS` holds those that a group chooses from.
    """
    types = list(setting_types(schema))
    counts = {key for key, kind in types if int in alternatives(kind)}
    lists = {key for key, kind in types if element(kind) is int}
    return [_in_digits(override, counts, lists) for override in overrides]


def _in_digits(override: str, counts: Set[str], lists: Set[str]) -> str:
    head, equals, text = override.partition("=")
    key = head.lstrip("+")
    if equals and key in counts:
        return f"{head}={_digits(head, text)}"
    if equals and key in lists and re.fullmatch(r"\[.*\]", text):
        return f"{head}=[{','.join(_digits(head, part) for part in text[1:-1].split(','))}]"
    return override


def _digits(key: str, text: str) -> str:
    """`5000` for `5k`; what is no whole number stays, for a message that names the type."""
    try:
        number = parse_quantity(key, text)
    except UserError:
        return text
    # `1B` of a count is meant as a billion, which as bytes would be one.
    is_number = re.fullmatch(r"\s*\d+\s*", text) or re.search(r"\dB", text)
    return text if is_number or number % 1 else f"{number:.0f}"
