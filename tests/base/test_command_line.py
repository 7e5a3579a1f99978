"""The command line: mistakes as a user makes them end with one line that names the override or key,
and an exit code."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from star.base.command_line import compose_config, default_scale, one_line, run_command
from star.base.errors import UserError
from star.search.config import RENAMED

SMOKE = ("+experiment=smoke", "scale=cpu", "run_dir=run")
TARGET = "search.algorithm._target_"


def expect_mistake(result: Any, message: str, folder: Path) -> None:
    """Exit code 2, one line on standard error, nothing on standard output or in the folder."""
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert result.stdout == "" and list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.seeds=[[1]]", "error: search.seeds=[[1]]: expected a list of names"),
        ("search.space.depths=[[4],9]", "error: search.space.depths=[[4], 9]: expected a list of"),
        ("search.halving.rungs=[[1],2]", "error: search.halving.rungs=[[1], 2]: expected a list"),
        ("training.betas=[[0.9],0.9]", "error: training.betas=[[0.9], 0.9]: expected a list of"),
        ("search.also_measure=[none_such]", "error: search.also_measure: 'none_such' is unknown"),
        ("search.stop.training_tokens=0", "error: search.stop.training_tokens=0: expected above"),
        # keys that are not in the schema, however they are added
        ("colour=red", "error: colour: unknown key"),
        ("+colour=red", "error: colour: unknown key"),
        ("+trainning.steps=5", "error: trainning: unknown key"),
        ("++training.step=5", "error: training.step: unknown key"),
        ("training.step=5", "error: training.step: unknown key"),
        ("+experiments=smoke", "error: experiments: unknown key"),
        ("+training.check=3", "error: training.check: unknown key"),
        ("training={step:1}", "error: training.step: unknown key"),
        ("executor.worker=2", "error: executor.worker: unknown key"),
        ("executor.path=x", "error: executor.path: unknown key"),
        ("search.algorithm.n_offspring=4", "search.algorithm.n_offspring: NSGA2 has no such"),
        ("constraints.colour=4", "error: constraints.colour: no such objective; measured are"),
        ("objectives.colour.steps=4", "error: objectives.colour: no objective in use"),
        # Hydra's own
        ("hydra.run.dir=x", "error: hydra.run.dir: Hydra's own folders and logging are switched"),
        ("+hydra.foo=bar", "error: hydra.foo: Hydra's own"),
        # interpolations
        ("width=${nope}", "'nope' not found (key: width)"),
        ("run_dir=${oc.env:STAR_NOT_SET}", "'STAR_NOT_SET' not found\" (key: run_dir)"),
        ("width=${width}", "error: Recursive interpolation detected (key: width)"),
        ("depth=???", "error: depth: a value is required"),
        # the grammar
        ("search.seeds=[a,", "'search.seeds=[a,' cannot be read as key=value (no viable alterna"),
        ("=5", "error: '=5' names no key: expected key=value"),
        ("width", "error: 'width' names no value: expected key=value"),
        ("a b=3", "error: 'a b=3' cannot be read as key=value"),
        ("run_dir='x", "error: 'run_dir='x' cannot be read as key=value"),
        ("", "error: '' names no key"),
        ("training.steps=", "error: training.steps=: Value ''"),
        ("seed='x y'", "error: seed='x y': Value 'x y' of type 'str'"),
        ("seed=0,1", "seed=0,1"),
        ("data=", "error: data '' is unknown; available: files hub stdlib"),
        ("executor=cloud", "error: executor 'cloud' is unknown; available: processes"),
        ("data=5", "given: +experiment=smoke scale=cpu run_dir=run data=5"),
        # algorithms
        (f"{TARGET}=collections.OrderedDict", f"{TARGET}=collections.OrderedDict: not a pymoo alg"),
        (f"{TARGET}=pymoo.nothing.NSGA2", "cannot be built"),
        (f"{TARGET}=pymoo.algorithms.moo.mopso_cd.MOPSO_CD", "cannot search genomes ("),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    override: str, message: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    expect_mistake(command("evolve", *SMOKE, override), message, tmp_path)


@pytest.mark.parametrize("key", sorted(RENAMED))
def test_a_key_of_before_is_told_its_new_name(
    key: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    for prefix in ("", "+", "++"):
        result = command("evolve", *SMOKE, f"{prefix}{key}=1")
        expect_mistake(result, f"error: {key}: is now {RENAMED[key]}", tmp_path)


def test_a_key_of_before_in_a_users_file_is_told_its_new_name(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "old.yaml").write_text("# @package _global_\nsearch:\n  motif: 2\n")
    result = command("evolve", "--config-dir", "mine", "+experiment=old", *SMOKE[1:])
    assert result.returncode == 2
    assert result.stderr == "error: search.motif: is now search.space.motif\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("describe", "+genom=lfm2"), "error: genom: unknown key"),
        (("train", "+stepps=3", "genome=lfm2"), "error: stepps: unknown key"),
        (("generate", "checkpoint=x", "token=3"), "error: token: unknown key"),
        (("evolve", "--cfg", "hydra"), "error: argument --cfg/-c: invalid choice"),
        (("evolve", "--colour"), "error: unrecognized arguments: --colour"),
        (("evolve", "--config-dir=nowhere", *SMOKE), "error: --config-dir=nowhere: no such folder"),
        (("evolve", "-m", "seed=[0,"), "error: 'seed=[0,' cannot be read"),
    ],
)
def test_other_commands_and_options_know_mistakes_too(
    arguments: tuple[str, ...], message: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    expect_mistake(command(*arguments), message, tmp_path)


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object, arguments: list[str]) -> None:
        raise ValueError("not the user's")

    monkeypatch.setattr(sys, "argv", ["star", *SMOKE])
    with pytest.raises(ValueError, match="not the user's"):
        run_command("evolve", broken)


@pytest.mark.parametrize("flag", ["--cfg=job", "--cfg job", "-c job"])
def test_the_configuration_is_shown_and_nothing_done(
    flag: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    result = command("describe", "genome=lfm2", "width=64", *flag.split())
    assert result.returncode == 0 and result.stdout.count("width: 64\n") == 1, result.stderr
    assert "width: ${width}" in result.stdout
    resolved = command("describe", "genome=lfm2", "width=64", *flag.split(), "--resolve")
    assert resolved.stdout.count("width: 64\n") == 2
    result = command("evolve", *SMOKE, "+colour=5", *flag.split())
    expect_mistake(result, "error: colour: unknown key", tmp_path)


def test_known_keys_can_be_forced(command: Callable[..., Any]) -> None:
    arguments = ("++genome=lfm2", "++model.vocabulary=512", "width=64", "format=json")
    result = command("describe", *arguments)
    assert result.returncode == 0, result.stderr
    assert f'"embedding_parameters": {512 * 64}' in result.stdout


@pytest.mark.parametrize(
    "verb", ["evolve", "train", "describe", "generate", "front", "validate", "mad", "report"]
)
def test_help_explains_every_key(verb: str, command: Callable[..., Any]) -> None:
    result = command(verb, "--help")
    assert result.returncode == 0 and f"python -m star.{verb}" in result.stdout
    rows = result.stdout.split("settings:\n")[1].split("\n\n")[0].splitlines()
    keys = [row for row in rows if row.startswith("  ") and row[2] != " "]
    assert len(keys) > (4 if verb == "report" else 10)
    for index, row in enumerate(keys):
        meaning = row[42:] if len(row) > 42 and "=" in row[:42] else rows[rows.index(row) + 1]
        assert meaning.strip(), (index, row)


def test_help_lists_the_groups_that_a_command_takes(command: Callable[..., Any]) -> None:
    groups = command("evolve", "--help").stdout.split("groups, each")[1]
    assert "cache_frontier" in groups and "firefly" in groups and "processes, table" in groups
    assert "search=" not in command("train", "--help").stdout.split("groups, each")[1]
    assert "groups, each" not in command("describe", "--help").stdout


def test_a_users_own_experiment_is_found(command: Callable[..., Any], tmp_path: Path) -> None:
    mine = tmp_path / "my files" / "experiment"
    mine.mkdir(parents=True)
    text = "# @package _global_\nexperiment_name: mine\nsearch:\n  objectives: [validation_loss]\n"
    (mine / "mine.yaml").write_text(text)
    result = command("evolve", "--config-dir", "my files", "+experiment=mine", "--cfg", "job")
    assert result.returncode == 0 and "experiment_name: mine" in result.stdout
    config = compose_config("evolve", ["+experiment=mine"], config_dir=tmp_path / "my files")
    assert config.search.objectives == ["validation_loss"] and config.depth == 8


def test_a_sweep_runs_one_command_after_the_other(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = ("+experiment=tabular", "search.generations=1", "search=random", "scale=cpu")
    result = command("evolve", "-m", "seed=0,1", *arguments)
    assert result.returncode == 0, result.stderr
    runs = sorted((tmp_path / "runs" / "tabular").iterdir())
    commands = [(run / "command.txt").read_text() for run in runs]
    assert [f" seed={seed} " in text for seed, text in enumerate(commands)] == [True, True]
    assert len(runs) == 2 and " -m " not in "".join(commands).replace("python -m", "")


@pytest.mark.slow
def test_completion_is_hydras() -> None:
    command = [sys.executable, "-m", "star.describe", "-sc", "install=bash"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0 and "hydra_bash_completion" in result.stdout, result.stderr


def test_composing_leaves_no_trace_and_can_be_repeated() -> None:
    first, second = (compose_config("evolve", ["+experiment=smoke", "width=48"]) for _ in range(2))
    assert first == second and first.model.width == 48 and first is not second
    with pytest.raises(UserError, match="widht: unknown key"):
        compose_config("evolve", ["widht=3"])
    assert compose_config("train", ["genome=lfm2", "steps=7"]).training.steps == 7


def test_errors_fit_on_one_line() -> None:
    assert one_line(ValueError("a\n  b\n")) == "a b"
    assert default_scale() in ("cpu", "gpu_small")


@pytest.mark.parametrize(
    "override",
    [
        *(
            "+data@x=[[1]]",
            "+experiment=${oc.select:seed}",
            "~=a\nb",
            "seed=a\nb",
            "~seed" + "9" * 5000,
        ),
        *(
            "+x:=" + "9" * 5000,
            "scale=../../x",
            "search=[a]",
            "data=" + "x" * 300,
            "a" * 5000 + "=1",
        ),
        *("depth=" + "${" * 200, "training={a:{b:[1]}}", "search.algorithm=[1]"),
    ],
    ids=lambda text: text[:20],
)
def test_what_hydra_does_not_expect_is_one_short_line(override: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config("evolve", [override])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2100
