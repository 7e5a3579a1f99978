"""YAML of others: bounded, without doubt about its meaning, and every fault on one line."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from star.base.errors import UserError
from star.base.safe_yaml import DEEPEST, MOST_VALUES, parse_yaml, read_yaml

BOMB = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: !!int abc", "'abc' is no int that can be read, line 1, column 7"),
        ("name: !!float abc", "'abc' is no float"),
        ("name: !!bool abc", "'abc' is no bool"),
        ("name: !!timestamp abc", "'abc' is no timestamp"),
        ("name: !!binary '€'", "failed to convert base64"),
        ("a: 1\nname: " + "9" * 5000, "is no int that can be read, line 2"),
        ("name: 0x" + "f" * 5000, "is no int"),
        ("name: 1" + ":10" * 100_000, "is no int"),
        ("name: 1" + ":10" * 100_000 + ".5", "is no float"),
        ("name: 99999999999999999999", "is no int"),
        ("[" * 900 + "]" * 900, f"more than {DEEPEST} levels are nested, line 1, column 51"),
        ("[" * 10**6, "levels are nested"),
        ("- " * 900 + "x", "levels are nested"),
        (BOMB, f"more than {MOST_VALUES:,} values"),
        (f"[{'x,' * (MOST_VALUES + 1)}]", f"more than {MOST_VALUES:,} values"),
        ("a: 1\nb: 2\na: 3", "the key 'a' occurs twice, line 3, column 1"),
        ("a: {b: 1, b: 1}", "the key 'b' occurs twice"),
        ("a: &a [*a]", "'a' refers to itself, line 1, column 8"),
        ("a: &a {b: *a}", "'a' refers to itself"),
        ("a: *b", "found undefined alias"),
        ("? [a]\n: 1", "unhashable"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: \x07", "special characters are not allowed"),
        ("a: [", "not readable as YAML"),
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_plain_small_data_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, "theirs.yaml")
    said = str(caught.value)
    assert said.startswith("theirs.yaml: not readable as YAML (") and message in said
    assert "\n" not in said and len(said) < 500


def test_dates_stay_text_and_anchors_and_merges_work() -> None:
    text = "a: 2024-13-01\nb: 2024-01-13\nc: &c {x: 1}\nd: *c\ne: {<<: *c, x: 2}"
    expected = {"a": "2024-13-01", "b": "2024-01-13", "c": {"x": 1}, "d": {"x": 1}, "e": {"x": 2}}
    assert parse_yaml(text, "mine.yaml") == expected


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(plain_data)
def test_what_is_written_is_read_back(data: object) -> None:
    for is_flow in (True, False):
        text = yaml.safe_dump(data, default_flow_style=is_flow)
        assert parse_yaml(text, "mine.yaml") == data


@given(st.text("[]{}:,-&*!<'\"|>%@ \nab1.0x~#?\t", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_yaml(text, "any.yaml")
    except UserError as error:
        assert "\n" not in str(error)


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UserError, match=r"a.yaml: cannot be read \(byte 3 is not UTF-8\)"):
        read_yaml(tmp_path / "a.yaml")
