"""What a command's settings are: every dotted key of its dataclass, and the types of its values."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def setting_types(schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of settings, with its type; a key of several groups comes once for each.

    Args:
        schema: the dataclass of the settings; `GROUPS` lists others that a key may be.
        prefix: of the keys.
    """
    groups: Mapping[str, Mapping[str, Any]] = getattr(schema, "GROUPS", {})
    for name, kind in get_type_hints(schema).items():
        for nested in (kind, *groups.get(name, {}).values()):
            if is_dataclass(nested):
                yield from setting_types(nested, f"{prefix}{name}.")
        yield f"{prefix}{name}", kind


def alternatives(kind: Any) -> set[Any]:
    """The types that a value may have, None aside: of `int | None`, `{int}`."""
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return set(members) - {NoneType}


def element(kind: Any) -> Any:
    """The type of a list's elements; None where a setting is no list."""
    lists = [one for one in alternatives(kind) if get_origin(one) is list]
    return get_args(lists[0])[0] if lists else None
