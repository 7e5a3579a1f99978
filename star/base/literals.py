"""Settings that are text, such as paths and names, read from the command line as they were typed.

Hydra's grammar takes `run_dir=2026_11_25` for the number 20261125 and `1e5` for 100000.0, and finds
no value at all in `data.path=~/texts` or `run_dir=[x`. Of a key that holds text, all that is not
text to Hydra is quoted for it here. What stays Hydra's: quotes, `${...}`, null, and with
`--multirun` the commas between the values of a sweep.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from star.base.schemas import alternatives, element, setting_types

TEXT, TEXTS = "text", "texts"  # a key holds one, or a list of them
TEXT_OR_TEXTS = "text or texts"  # a list, of one where it is typed without brackets


def text_keys(schema: Any) -> dict[str, str]:
    """The dotted keys of a command's settings that hold text, each with what it holds.

    Args:
        schema: the dataclass of the settings; `GROUPS` lists others that a key may be, and `ALONE`
            the lists that may be typed without brackets.
    """
    found, alone = {}, getattr(schema, "ALONE", ())
    for key, kind in setting_types(schema):
        if alternatives(kind) == {str}:
            found[key] = TEXT
        elif element(kind) is str:
            found[key] = TEXT_OR_TEXTS if key in alone else TEXTS
    return found


def as_written(overrides: Sequence[str], keys: Mapping[str, str], sweep: bool) -> list[str]:
    """The overrides, with text quoted that Hydra would read as something else.

    Args:
        overrides: `key=value` each.
        keys: those that hold text, see `text_keys`.
        sweep: whether commas separate the values of a sweep.
    """
    return [_as_written(override, keys, sweep) for override in overrides]


def _as_written(override: str, keys: Mapping[str, str], sweep: bool) -> str:
    head, equals, value = override.partition("=")
    holds = keys.get(head.lstrip("+")) if equals else None
    is_list = value.startswith("[") and value.endswith("]")
    if holds == TEXT_OR_TEXTS and not is_list and not (sweep and "," in value):
        return f"{head}=[{_quoted(value)}]"
    if holds is None or value.lstrip().startswith(("'", '"')):
        return override
    if holds in (TEXTS, TEXT_OR_TEXTS):
        return f"{head}=[{_quoted_items(value[1:-1])}]" if is_list else override
    if sweep and "," in value:
        return f"{head}={_quoted_items(value)}"
    return f"{head}={_quoted(value)}"


def _quoted_items(values: str) -> str:
    """Values with commas between them, each as `_quoted`; as they are where some are nested."""
    if any(character in values for character in "'\"[]{}("):
        return values
    return ",".join(_quoted(value.strip()) for value in values.split(","))


def _quoted(value: str) -> str:
    return value if _is_text(value) else QuotedString(value, Quote.single).with_quotes()


def is_endless(override: str) -> bool:
    """Whether an override has more digits or brackets than can be read."""
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False  # whose message says more
    except (ValueError, RecursionError):
        return True
    return False


def _is_text(value: str) -> bool:
    """Whether Hydra reads a value as text, as nothing, or as null."""
    try:
        read = OverridesParser.create().parse_override(f"key={value}").value()
    except (HydraException, ValueError, RecursionError):  # ValueError: thousands of digits
        return False
    return read is None or isinstance(read, str)
