"""Commands that read a genome read one with genes of the backbone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from star.models import load_checkpoint
from tests.conftest import Result

Command = Callable[..., Result]
GENOME = "11111-91111-43"


def test_describe_says_what_the_genes_say(command: Command, tmp_path: Path) -> None:
    content = json.loads(command("describe", f"genome={GENOME}", "format=json").stdout)
    assert content["genome"] == GENOME and content["norms"] == "sandwich"
    assert content["residual_scale"] == pytest.approx(2**-0.5)
    plain = json.loads(command("describe", "genome=11111-91111", "format=json").stdout)
    assert content["parameters"] == plain["parameters"] + 2 * 768
    assert content["cache_bytes"] == plain["cache_bytes"] and plain["norms"] == "pre"
    shown = command("describe", f"genome={GENOME}", "picture=card.svg").stdout
    assert "norms: sandwich, what each LIV adds x 0.7071" in shown and GENOME in shown
    assert "norms sandwich, residual_scale 1/sqrt(depth)" in (tmp_path / "card.svg").read_text()


def test_extrapolate_writes_them(command: Command, tmp_path: Path) -> None:
    arguments = (f"genome={GENOME}", "depth=6", "method=stretch", "width=64", "to=large.yaml")
    assert command("extrapolate", *arguments).returncode == 0
    content = yaml.safe_load((tmp_path / "large.yaml").read_text())
    assert content["genome"].endswith("-43") and content["genome"].count("-") == 6


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("describe", ("genome=11111-91111-49",)),
        ("train", ("genome=11111-91111-49", "run_dir=out")),
        ("extrapolate", ("genome=11111-91111-49", "depth=4")),
        ("mad", ("genome=11111-91111-49", "run_dir=out")),
        ("evolve", ("+experiment=smoke", "scale=cpu", "search.seeds=[11111-91111-49]")),
        ("evolve", ("+experiment=smoke", "scale=cpu", "search.baselines=[11111-91111-49]")),
    ],
)
def test_a_value_that_there_is_not_is_one_line(
    verb: str, arguments: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    result = command(verb, *arguments)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "backbone gene residual_scale: 9 is not allowed, expected 1 to 4" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_trained_one_generates_and_is_exported(command: Command, tmp_path: Path) -> None:
    short = ("steps=2", "width=64", "training.length=32", "training.batch_size=2")
    assert command("train", f"genome={GENOME}", "run_dir=run", *short).returncode == 0
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.genome.genome.to_text() == GENOME
    assert checkpoint.model.livs[0].scale == pytest.approx(2**-0.5)
    generated = command("generate", "checkpoint=run", "prompt=def", "tokens=4")
    assert generated.returncode == 0, generated.stderr
    exported = command("export", "checkpoint=run", "to=theirs")
    assert exported.returncode == 0 and "differ by at most 0" in exported.stdout
    assert "sandwich, 0.7071" in (tmp_path / "theirs" / "README.md").read_text()
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["genome"] == GENOME
    grown = ("genome=11111-91111-11111-91111-43", "run_dir=grown", "training.init_from=run")
    result = command("train", *grown, *short)
    assert result.returncode == 0 and "LIVs are made of 0, 1, 0, 1" in result.stdout
