"""The configuration of a run folder, read back: what readers rely on has the form they expect."""

from pathlib import Path

import pytest
import yaml

from star.base.errors import UserError
from star.runs.provenance import CONFIGURATION, SHAPES, read_configuration

WRONG = {
    dict: [5, "x", [], True, None],
    list: [5, "x", {}, [[1]], [1], None],
    str: [5, [], {}, None],
}


@pytest.mark.parametrize("key", list(SHAPES))
def test_a_setting_of_another_form_is_named(key: str, tmp_path: Path) -> None:
    for value in WRONG[SHAPES[key]]:
        content = value
        for part in reversed(key.split(".")):
            content = {part: content}
        (tmp_path / CONFIGURATION).write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match=f"config.yaml: key '{key}' is .*, expected"):
            read_configuration(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "x", "~", "search: {}\n"])
def test_what_is_missing_is_no_mistake_of_its_own(text: str, tmp_path: Path) -> None:
    (tmp_path / CONFIGURATION).write_text(text)
    assert isinstance(read_configuration(tmp_path), dict)
