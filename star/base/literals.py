"""Settings that are text, such as paths and names, read from the command line as they were typed.

Hydra's grammar takes `run_dir=2026_11_25` for the number 20261125 and `1e5` for 100000.0, and finds
no value at all in `data.path=~/texts` or `run_dir=[x`. Of a key that holds text, all that is not
text to Hydra is quoted for it here. What stays Hydra's: quotes, `${...}`, null, and with
`--multirun` the commas between the values of a sweep.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

TEXT, TEXTS = "text", "texts"  # a key holds one, or a list of them


def text_keys(schema: Any) -> dict[str, str]:
    """The dotted keys of a command's settings that hold text, each with `TEXT` or `TEXTS`.

    Args:
        schema: the dataclass of the settings; `GROUPS` lists others that a key may be.
    """
    found = {}
    for key, kind in _keys(schema, ""):
        if _without_none(kind) == {str} and get_origin(kind) is not list:
            found[key] = TEXT
        elif _element(kind) is str:
            found[key] = TEXTS
    return found


def list_keys(schema: Any) -> dict[str, type]:
    """The dotted keys of a command's settings that hold lists, each with what its elements are.

    schema: as of `text_keys`.
    """
    elements = ((key, _element(kind)) for key, kind in _keys(schema, ""))
    return {key: element for key, element in elements if element is not None}


def _keys(schema: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every dotted key of settings, with its type."""
    groups: Mapping[str, Mapping[str, Any]] = getattr(schema, "GROUPS", {})
    for name, kind in get_type_hints(schema).items():
        for nested in (kind, *groups.get(name, {}).values()):
            if is_dataclass(nested):
                yield from _keys(nested, f"{prefix}{name}.")
        yield f"{prefix}{name}", kind


def _without_none(kind: Any) -> set[Any]:
    return set(get_args(kind) or (kind,)) - {NoneType}


def _element(kind: Any) -> Any:
    """The type of a list's elements; None where a setting is no list."""
    lists = [k for k in (kind, *_without_none(kind)) if get_origin(k) is list]
    return get_args(lists[0])[0] if lists else None


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
    if holds is None or value.lstrip().startswith(("'", '"')):
        return override
    if holds == TEXTS:
        is_list = value.startswith("[") and value.endswith("]")
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
