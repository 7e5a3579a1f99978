"""YAML that others wrote, read within bounds: the one way that every command reads it.

A text of ten lines can stand for 10^8 values, refer to itself or nest until the interpreter gives
up; a number can take minutes. Nothing is built before it is known to be small, plain data without
doubt about its meaning: of two equal keys none is taken silently. Dates stay the text they are.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from star.base.errors import UserError, plain, shown
from star.base.reading import named, read_text

MOST_VALUES = 20_000  # with aliases written out
DEEPEST = 50  # levels of nesting
LONGEST_NUMBER = 100  # characters
LARGEST_WHOLE = 2**63
_DATE = "tag:yaml.org,2002:timestamp"
_NUMBERS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float")}
_MERGE = "tag:yaml.org,2002:merge"


class _BoundedLoader(yaml.SafeLoader):
    """A safe loader that counts what it composes, and knows where a value is that it cannot read.

    `_sizes` holds the values below each node with an anchor; one that is being composed still has
    none, so an alias of it refers to itself.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0
        self._sizes: dict[Any, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node and all below it, counted."""
        event: Any = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise yaml.YAMLError(f"{event.anchor!r} refers to itself{_at(mark)}")
            self._count(self._sizes.get(event.anchor, 0), mark)
            return super().compose_node(parent, index)
        before, self._depth = self._values, self._depth + 1
        self._count(1, mark)
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} levels are nested{_at(mark)}")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._values - before
        return node

    def _count(self, values: int, mark: Any) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {MOST_VALUES:,} values{_at(mark)}")

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node; of a number or date that is none, an error that says where."""
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        is_long = node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER
        try:
            value = None if is_long else super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            value = None
            is_long = True
        if is_long or (isinstance(value, int) and abs(value) >= LARGEST_WHOLE):
            wanted = node.tag.rpartition(":")[2]
            raise yaml.YAMLError(
                f"{shown(node.value, 40)!r} is no {wanted} that can be read{_at(node.start_mark)}"
            )
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, of keys that are all different."""
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if (key.tag, key.value) in keys:
                where = _at(key.start_mark)
                raise yaml.YAMLError(f"the key {shown(key.value, 40)!r} occurs twice{where}")
            keys.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


_BoundedLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _at(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}"


def parse_yaml(text: str, source: str | Path) -> Any:
    """Plain data from YAML.

    Args:
        text: what was read.
        source: names it in errors.

    Raises:
        UserError: for a text that is no YAML, holds equal keys, refers to itself, or stands for
            more than a file of settings holds.
    """
    try:
        return yaml.load(text, _BoundedLoader)  # a subclass of the safe loader
    except yaml.YAMLError as error:
        reason = shown(plain(error), 300)
        raise UserError(f"{named('', source)}: not readable as YAML ({reason})") from None


def read_yaml(path: Path) -> Any:
    """Plain data from a YAML file. Raises `UserError` as `parse_yaml` and `reading.read_text`."""
    return parse_yaml(read_text(path), path)
