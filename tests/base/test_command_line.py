"""Mistakes in the command line, as a user makes them: one line that names the override or key, and
an exit code."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import star.evolve  # noqa: F401  # registers the schema
from star.base.command_line import run_command
from star.base.errors import UserError
from star.search.algorithms.build import build_algorithm, check_search
from star.search.config import SearchConfig
from star.search.space.problem import GenomeProblem

SMOKE = ("+experiment=smoke", "scale=cpu", "run_dir=run")
TARGET = "search.algorithm._target_"
NSGA2 = "pymoo.algorithms.moo.nsga2.NSGA2"


def run(verb: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"star.{verb}", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=240, check=False
    )


def expect_mistake(result: subprocess.CompletedProcess[str], message: str, cwd: Path) -> None:
    """Exit code 2, one line on standard error with the message, nothing on standard output or in
    the folder."""
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert result.stderr.startswith("error: ") and len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == "" and list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainning.steps=5", "error: trainning: unknown key"),
        ("width=${nope}", "'nope' not found (key: width)"),
        (
            "search.seeds=[a,",
            "error: 'search.seeds=[a,' cannot be read as key=value (no viable alternative",
        ),
        ("=5", "error: '=5' names no key: expected key=value"),
        ("search.seeds=[[1]]", "error: search.seeds=[[1]]: expected a list of names"),
        (
            f"{TARGET}=collections.OrderedDict",
            f"error: {TARGET}=collections.OrderedDict: not a pymoo algorithm",
        ),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(
    tmp_path: Path, override: str, message: str
) -> None:
    expect_mistake(run("evolve", *SMOKE, override, cwd=tmp_path), message, tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # keys that are not in the schema, however they are added
        ("+colour=red", "error: colour: unknown key"),
        ("++training.step=5", "error: training.step: unknown key"),
        ("+experiments=smoke", "error: experiments: unknown key"),
        ("+training.check=3", "error: training.check: unknown key"),
        ("training={step:1}", "error: training.step: unknown key"),
        ("+hydra.foo=bar", "error: hydra.foo: unknown key"),
        ("++hydra.run.foo=bar", "error: hydra.run.foo: unknown key"),
        (
            "search.algorithm.n_offsprings=4",
            "error: search.algorithm.n_offsprings: unknown key; +search.algorithm.",
        ),
        # interpolations
        ("run_dir=${oc.env:STAR_NOT_SET}", "'STAR_NOT_SET' not found\" (key: run_dir)"),
        ("hydra.run.dir=${nope}", "'nope' not found (key: hydra.run.dir)"),
        ("width=${width}", "error: Recursive interpolation detected (key: width)"),
        ("depth=???", "error: depth: a value is required"),
        # the grammar
        ("width", "error: 'width' cannot be read as key=value (missing EQUAL)"),
        ("a b=3", "error: 'a b=3' cannot be read as key=value"),
        ("run_dir='x", "error: 'run_dir='x' cannot be read as key=value"),
        ("", "error: '' names no key"),
        ("training.steps=", "error: training.steps=: Value ''"),
        ("seed='x y'", "error: seed='x y': Value 'x y' of type 'str'"),
        ("data=", "error: data '' is unknown; available: files stdlib"),
        ("data=5", "given: +experiment=smoke scale=cpu run_dir=run data=5"),
    ],
)
def test_the_task_never_sees_a_mistake(
    override: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which takes a tenth of the time."""
    tasks: list[object] = []
    monkeypatch.setenv(
        "HYDRA_FULL_ERROR", "1"
    )  # run_command sets it; this takes it back afterwards
    monkeypatch.setattr(sys, "argv", ["star", *SMOKE, override])
    with pytest.raises(SystemExit) as ended:
        run_command("evolve", tasks.append)
    output = capsys.readouterr()
    assert ended.value.code == 2 and tasks == [] and output.out == ""
    assert (
        message in output.err and output.err.startswith("error: ") and output.err.count("\n") == 1
    )


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise ValueError("not the user's")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["star", *SMOKE])
    with pytest.raises(ValueError, match="not the user's"):
        run_command("evolve", broken)


def test_an_added_key_is_a_mistake_for_every_command(tmp_path: Path) -> None:
    expect_mistake(
        run("describe", "+genom=lfm2", cwd=tmp_path), "error: genom: unknown key", tmp_path
    )


@pytest.mark.parametrize("flag", ["--cfg=job", "--cfg job", "-c all"])
@pytest.mark.parametrize("key", ["colour", "training.step", "hydra.foo"])
def test_a_shown_configuration_has_no_unknown_keys(
    flag: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["star", *SMOKE, f"+{key}=5", *flag.split()])
    with pytest.raises(SystemExit) as ended:
        run_command("evolve", lambda config: None)
    output = capsys.readouterr()
    assert ended.value.code == 2 and output.out == "" and f"error: {key}: unknown key" in output.err


def test_known_keys_can_be_shown(tmp_path: Path) -> None:
    result = run(
        "describe", "genome=lfm2", "++hydra.verbose=false", "width=64", "--cfg", "job", cwd=tmp_path
    )
    assert result.returncode == 0 and result.stdout.count("width: 64") == 1, result.stderr


def test_known_keys_can_be_forced(tmp_path: Path) -> None:
    result = run(
        "describe",
        "++genome=lfm2",
        "++model.vocabulary=512",
        "width=64",
        "format=json",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert f'"embedding_parameters": {512 * 64}' in result.stdout


def test_an_algorithm_that_ignores_the_operators_is_a_mistake(tmp_path: Path) -> None:
    target = f"{TARGET}=pymoo.algorithms.soo.nonconvex.pso.PSO"
    result = run("evolve", *SMOKE, "search.objectives=[validation_loss]", target, cwd=tmp_path)
    expect_mistake(result, f"error: {target}: cannot search genomes (", tmp_path)


@pytest.mark.parametrize(
    ("target", "objectives"),
    [
        ("pymoo.algorithms.moo.mopso_cd.MOPSO_CD", 2),  # floats
        ("pymoo.algorithms.soo.nonconvex.nelder.NelderMead", 1),  # leaves ask and tell
        ("pymoo.algorithms.moo.dnsga2.DNSGA2", 2),  # takes no constraint
        ("pymoo.algorithms.soo.nonconvex.ga_niching.NicheGA", 2),  # one objective only
        ("pymoo.core.algorithm.Algorithm", 1),  # proposes nothing
    ],
)
def test_algorithms_that_fail_in_the_rehearsal(target: str, objectives: int) -> None:
    config = SearchConfig(algorithm={"_target_": target}, population=6)
    with pytest.raises(UserError, match=f"{target}: cannot search genomes") as caught:
        build_algorithm(config, GenomeProblem(4, objectives), [], 0)
    assert len(str(caught.value)) < 450


@pytest.mark.parametrize(
    ("target", "population"),
    [(NSGA2, 6), (NSGA2, 1), ("pymoo.algorithms.soo.nonconvex.random_search.RandomSearch", 6)],
)
def test_the_rehearsal_leaves_no_trace(target: str, population: int) -> None:
    own = {"n_points_per_iteration": 6} if "random_search" in target else {}
    config = SearchConfig(algorithm={"_target_": target, **own}, population=population)
    check_search(config)
    algorithm, duplicates, repair = build_algorithm(config, GenomeProblem(4, 2), [], 0)
    assert algorithm.n_iter is None and not duplicates.proposed and repair.seen == 0
    assert len(algorithm.ask()) == population  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_search_without_any_measurement_fails(tmp_path: Path) -> None:
    arguments = ("training.learning_rate=1e30", "search.generations=1", "workers=1")
    result = run("evolve", *SMOKE, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert (
        result.stderr
        == "error: no candidate could be measured (8 diverged); run/population.csv says why\n"
    )
    assert set(pd.read_csv(tmp_path / "run" / "population.csv")["status"]) == {"infeasible"}


@pytest.mark.slow
def test_an_algorithms_own_arguments_can_be_added(tmp_path: Path) -> None:
    arguments = ("+search.algorithm.n_offsprings=3", "++training.steps=2", "search.baselines=[]")
    result = run("evolve", *SMOKE, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(pd.read_csv(tmp_path / "run" / "population.csv")) == 6 + 3
