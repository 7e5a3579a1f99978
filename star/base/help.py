"""What `--help` prints: every setting of a command with its default and its meaning.

The meaning is the comment behind the field in the dataclass, the one place where it is written.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import resources
from textwrap import wrap
from typing import Any

KEY_WIDTH, WIDTH = 40, 110  # columns


def describe_settings(schema: Any, values: Mapping[str, Any]) -> str:
    """The command's purpose, its settings, and the choices of its groups, as text.

    Args:
        schema: the dataclass of its settings; `CHOICES` names the groups it takes.
        values: what they are when nothing is typed, by dotted key.
    """
    lines = [str(schema.__doc__).strip().splitlines()[0], "", "settings:"]
    for key, default, meaning in _settings(schema):
        value = values.get(key, default)
        lines += _row(f"{key}={'null' if value is None else value}", meaning)
    groups = getattr(schema, "CHOICES", ())
    if groups:
        lines += ["", "groups, each a file that sets several keys:"]
    for group in groups:
        lines += _row(f"{group}=", ", ".join(_choices(schema, group.lstrip("+"))))
    return "\n".join(lines).replace("%", "%%")


def _choices(schema: Any, group: str) -> list[str]:
    """Names of a group: its files in `star.conf`, or the dataclasses that the schema lists."""
    listed = getattr(schema, "GROUPS", {}).get(group)
    if listed is not None:
        return list(listed)
    files = (resources.files("star.conf") / group).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files)


def _row(key: str, meaning: str) -> list[str]:
    """A key and its meaning, in a column of their own each."""
    parts = wrap(meaning, WIDTH - KEY_WIDTH - 3) or [""]
    first = f"  {key:<{KEY_WIDTH}} {parts[0]}"
    if len(key) > KEY_WIDTH:
        first = f"  {key}\n{'':{KEY_WIDTH + 2}} {parts[0]}"
    return [first, *(f"{'':{KEY_WIDTH + 2}} {part}" for part in parts[1:])]


def _settings(schema: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Key, default and meaning of each field, those of nested dataclasses behind theirs."""
    comments = field_comments(schema)
    for field in fields(schema):
        default = _default(field)
        if is_dataclass(default):
            yield from _settings(type(default), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", default, comments.get(field.name, "")


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return "" if field.default is MISSING else field.default


def field_comments(schema: Any) -> dict[str, str]:
    """What the comments say of each field of a dataclass, inherited fields included.

    A comment stands behind its field, or in lines of its own above it.
    """
    comments: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if is_dataclass(base):
            comments |= _own_comments(base)
    return comments


def _own_comments(schema: Any) -> dict[str, str]:
    names = {field.name for field in fields(schema)}
    comments: dict[str, str] = {}
    above: list[str] = []
    for line in _source(schema):
        code, hash_sign, comment = line.partition("# ")  # of `steps: int = 100  # of AdamW`
        name = code.partition(":")[0].strip()
        if not code.strip():
            above = [*above, comment] if hash_sign else []
        elif name in names:
            comments[name] = " ".join(filter(None, [*above, comment]))
            above = []
    return comments


def _source(schema: type) -> list[str]:
    try:
        return inspect.getsource(schema).splitlines()
    except OSError:  # typed in a notebook, say
        return []
