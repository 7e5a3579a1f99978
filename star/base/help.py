"""What `--help` prints: every setting of a command with its default and its meaning.

The meaning is the comment behind the field in the dataclass, the one place where it is written.
"""

import inspect
import tokenize
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from io import StringIO
from typing import Any


def describe_settings(command: str, schema: Any) -> str:
    """The command's one-line purpose and its settings, one a line.

    Args:
        command: the verb.
        schema: the dataclass of its settings.
    """
    groups = getattr(schema, "GROUP_HELP", {})
    lines = [str(schema.__doc__).strip().splitlines()[0], "", "settings:"]
    lines += [f"  {key:<40} {meaning}" for key, meaning in _settings(schema)]
    if groups:
        lines += ["", "groups:", *(f"  {group:<40} {meaning}" for group, meaning in groups.items())]
    return "\n".join(lines).replace("%", "%%")


def _settings(schema: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """`key=default` and meaning of each field, those of nested dataclasses behind theirs."""
    comments = field_comments(schema)
    for field in fields(schema):
        default = _default(field)
        if is_dataclass(default):
            yield from _settings(type(default), f"{prefix}{field.name}.")
        else:
            shown = "null" if default is None else default
            yield f"{prefix}{field.name}={shown}", comments.get(field.name, "")


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return "" if field.default is MISSING else field.default


def field_comments(schema: Any) -> dict[str, str]:
    """The comment behind each field of a dataclass, inherited fields included.

    A comment may go on in lines of its own below its field.
    """
    comments: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if is_dataclass(base):
            comments |= _own_comments(base)
    return comments


def _own_comments(schema: type) -> dict[str, str]:
    comments: dict[str, str] = {}
    name, names = "", {field.name for field in fields(schema)}  # type: ignore[arg-type]
    previous = ""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(schema))
    except OSError:  # typed in a notebook, say
        return comments
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.OP and token.string == ":" and previous in names:
            name = previous
        if token.type == tokenize.COMMENT and name:
            text = token.string.lstrip("# ")
            comments[name] = f"{comments[name]} {text}" if name in comments else text
        if token.type == tokenize.NAME and token.string == "def":
            name = ""
        previous = token.string
    return comments
