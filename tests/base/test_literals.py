"""Paths and names on the command line are what was typed, whatever Hydra would read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from star.base.command_line import SCHEMAS, compose_config, load_schema
from star.base.errors import UserError
from star.base.literals import TEXT, TEXTS, as_written, text_keys

NAMES = (
    *("2026_11_25", "1e5", "0x10", "1_000", "true", "false", "yes", "1.50", "007", "nan", "-inf"),
    *("~/texts", "a,b", "a b", "[bold]x", "[/x]", "[x", "x]", "{a}", "a(1)", "a:b", "a=b", "50%"),
    *(
        "caf\udce9",
        "日本",
        "a'b",
        "#x",
        "@x",
        "!x",
        "a;b",
        "x" * 300,
        "9" * 5000,
        "[" * 900,
        "a\\b",
    ),
)
REQUIRED = {"train": ["genome=lfm2"], "generate": ["checkpoint=x"]}


def read(command: str, key: str, override: str) -> Any:
    given = [text for text in REQUIRED.get(command, []) if not text.startswith(f"{key}=")]
    value: Any = compose_config(command, [*given, override])
    for part in key.split("."):
        value = getattr(value, part)
    return value


def parsed(override: str) -> Any:
    """What Hydra reads."""
    return OverridesParser.create().parse_override(override).value()


def test_every_key_that_holds_text_is_known() -> None:
    evolve = text_keys(load_schema("evolve"))
    assert {
        *("run_dir", "experiment_name", "ledger", "data.path", "data.kind", "executor.path"),
        *("executor.states", "executor.address", "training.device", "cache.dtype"),
    } <= {key for key, holds in evolve.items() if holds == TEXT}
    assert {"plugins", "library", "search.seeds", "search.baselines", "data.suffixes"} <= {
        key for key, holds in evolve.items() if holds == TEXTS
    }
    assert not {"seed", "width", "limits.memory", "search.stop.wall_time"} & evolve.keys()
    assert text_keys(load_schema("generate"))["checkpoint"] == TEXT
    assert text_keys(load_schema("train"))["genome"] == TEXT


def test_a_name_is_what_was_typed() -> None:
    for name in NAMES:
        (written,) = as_written([f"x={name}"], {"x": TEXT}, sweep=False)
        assert parsed(written) == name, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "key"),
    [
        *[("evolve", key) for key in ("run_dir", "data.path", "experiment_name", "ledger")],
        *[("train", key) for key in ("run_dir", "genome", "data.path")],
        *[("describe", "genome"), ("generate", "checkpoint")],
    ],
)
def test_each_command_takes_names_as_they_are(command: str, key: str) -> None:
    for name in ("2026_11_25", "1e5", "~/[/x]"):
        assert read(command, key, f"{key}={name}") == name, name


@pytest.mark.slow
@pytest.mark.parametrize("key", ["library", "plugins", "search.seeds", "search.baselines"])
def test_names_in_lists_are_what_was_typed(key: str) -> None:
    names = [name for name in NAMES if not set("[]{}(',") & set(name)]
    assert read("evolve", key, f"{key}=[{','.join(names)}]") == names
    assert read("evolve", key, f"{key}=[ 1_0 , 'a,1,b' ]") == ["10", "a,1,b"]  # quotes are Hydra's
    assert read("evolve", key, f"{key}=[]") == []


@pytest.mark.slow
def test_what_stays_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAR_TEST", "here")
    assert read("evolve", "run_dir", "run_dir='a b'") == "a b"
    assert read("evolve", "run_dir", 'run_dir="~/x"') == "~/x"
    assert read("evolve", "run_dir", "run_dir=null") is None
    assert read("evolve", "run_dir", "run_dir=x_${seed}/${oc.env:STAR_TEST}") == "x_0/here"
    assert read("evolve", "run_dir", "++run_dir=1e5") == "1e5"
    for wrong in ("run_dir='x", "run_dir=${oc.env:X", "search.seeds=[a,", "search.seeds=[[1]]"):
        with pytest.raises(UserError):
            compose_config("evolve", [wrong])
    for key in ("search.seeds", "library", "plugins", "search.space.classes", "data.suffixes"):
        with pytest.raises(UserError, match=f"{key}=.*: expected a list of names"):
            compose_config("evolve", [f"{key}=[[a],b]"])


@given(st.text("abcxyz0123456789_.-+e~/ ,[](){}:=%'\"\\", max_size=12))
def test_any_name_without_quotes_at_its_beginning(name: str) -> None:
    (written,) = as_written([f"x={name}"], {"x": TEXT}, sweep=False)
    if not name.strip().startswith(("'", '"')) and "${" not in name and "\\" not in name:
        assert parsed(written) in (name, name.strip())  # blanks around a value are Hydra's


@pytest.mark.slow
def test_the_values_of_a_sweep_are_what_was_typed(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = ("+experiment=tabular", "search.generations=1", "search=random", "scale=cpu")
    result = command("evolve", "-m", "run_dir=2026_11_25,1e5", *arguments)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"2026_11_25", "1e5"}


def test_every_command_has_text_keys() -> None:
    for command in SCHEMAS:
        assert text_keys(load_schema(command))
