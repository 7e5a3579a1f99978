"""The committed table and the evaluator that answers from it."""

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.data import load_corpus
from star.evaluation import Context, Evaluation, Objective, Recipe, measured_by
from star.evaluation.evaluate import evaluate
from star.evaluation.executors import TableConfig, TableExecutor, Task
from star.evaluation.executors.table import PACKAGED, Table
from star.genomes import Genome, get_alphabet
from star.genomes.validity import find_problems
from star.search.config import EvolveConfig
from star.search.recipe import make_recipe
from tests.genomes.definition import canonical_livs

TOLERANCE = 1e-3  # nats per token between machines, after 80 steps in float32


WHOLE = 80  # steps of the table's trainings
Answer = Callable[..., Evaluation]


@pytest.fixture(scope="module")
def config() -> EvolveConfig:
    return compose_config("evolve", ["scale=cpu", "+experiment=tabular"])


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read(PACKAGED)


@pytest.fixture
def answer(config: EvolveConfig, table: Table) -> Answer:
    """What the table says of a genome, by default after the whole training of seed 0."""

    def look_up(text: str, steps: int = WHOLE, **changes: Any) -> Evaluation:
        executor = TableExecutor(table, recipe_of(config, **changes))
        ((index, evaluation),) = executor.evaluate([Task(Genome.from_text(text), steps)])
        assert index == 0
        return evaluation

    return look_up


def recipe_of(config: EvolveConfig, **changes: Any) -> Recipe:
    return replace(make_recipe(config)[1], **changes)


def fingerprint(
    config: EvolveConfig, rungs: Sequence[int] = (WHOLE,), path: Path | None = None
) -> str:
    space = config.search.space
    genomes = {"depth": config.depth, "alphabet": space.alphabet, "classes": space.classes}
    table = TableConfig(path=None if path is None else str(path))
    return table.fingerprint(recipe_of(config), genomes, rungs)


def sharing_patterns(liv_class: int, members: int) -> int:
    """How many architectures LIVs of one class make, counted one by one."""
    alphabet = get_alphabet("star")
    strategies = range(2, 2 + len(alphabet.by_id[liv_class].operator.structure.sharing))
    weights = [(1, 1), (1, 2), (2, 2)]
    features = [(1, 1), *itertools.product((1, 2), strategies)]
    choices = [
        (liv_class, *weight, *feature) for weight, feature in itertools.product(weights, features)
    ]
    backbones = itertools.product(choices, repeat=members)
    return len(
        {canonical_livs(livs, alphabet) for livs in backbones if not find_problems(livs, alphabet)}
    )


@pytest.mark.slow
def test_table_holds_every_architecture_of_its_space_once(
    table: Table, config: EvolveConfig
) -> None:
    ids = [c.id for c in get_alphabet("star").classes if c.name in config.search.space.classes]
    patterns = {(c, members): sharing_patterns(c, members) for c in ids for members in (1, 2, 3)}
    count = sum(
        math.prod(patterns[c, classes.count(c)] for c in set(classes))
        for classes in itertools.product(ids, repeat=config.depth)
    )
    genomes = [Genome.from_text(text) for text in table.rows["genome"].unique()]
    assert all(genome.depth == config.depth and genome.canonical() == genome for genome in genomes)
    assert {c.id for genome in genomes for c in genome.classes()} == set(ids)
    assert len({genome.id for genome in genomes}) == len(genomes) == count
    pairs = table.rows[["genome", "seed"]]
    assert not pairs.duplicated().any() and len(pairs) == count * len(table.recipe["seeds"])


@pytest.mark.slow
@pytest.mark.parametrize(("text", "seed"), [("91111-71111-91111", 0), ("31112-91111-31112", 1)])
def test_answers_are_those_of_a_fresh_training(
    text: str, seed: int, config: EvolveConfig, table: Table, answer: Answer
) -> None:
    corpus = load_corpus(config.data)
    if corpus.fingerprint != table.recipe["data_fingerprint"]:
        pytest.skip("the table was made with the library of another Python")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = evaluate(Genome.from_text(text), recipe_of(config, seed=seed), corpus)
    torch.set_num_threads(threads)
    found = answer(text, seed=seed)
    assert found.status == trained.status == "ok"
    # A table keeps the mean loss alone; what else a training measures beside it is optional.
    optional = {o.name for o in measured_by(recipe_of(config)).trained if o.optional}
    assert set(trained.metrics) - set(found.metrics) == optional - set(found.metrics)
    assert found.metrics == pytest.approx(
        {name: trained.metrics[name] for name in found.metrics}, rel=TOLERANCE
    )


def test_equal_architectures_get_equal_answers(answer: Answer) -> None:
    canonical, written_otherwise = "31112-91111-31112", "33132-92121-33132"
    first, second = answer(canonical), answer(written_otherwise)
    assert first.feasible and first.metrics == second.metrics


def test_static_objectives_follow_the_settings(config: EvolveConfig, answer: Answer) -> None:
    text = "11111-91111-51111"
    changes = {"cache": replace(config.cache, context=64)}
    recipe = recipe_of(config, **changes)
    static = measured_by(recipe).measure_static(Genome.from_text(text), recipe)
    assert static["cache_bytes"] < answer(text).metrics["cache_bytes"]
    assert static.items() <= answer(text, **changes).metrics.items()


def test_rungs_are_columns_of_the_same_training(table: Table, answer: Answer) -> None:
    text = "71111-91111-91111"
    row = table.rows[(table.rows["genome"] == text) & (table.rows["seed"] == 1)].iloc[0]
    for steps in table.recipe["steps"]:
        loss = answer(text, steps, seed=1).metrics["validation_loss"]
        assert loss == row[f"validation_loss_{steps}"]
    with pytest.raises(
        UserError, match="has no losses after 30 steps, expected one of 10, 20, 40, 80"
    ):
        answer(text, 30, seed=1)


def test_searches_of_any_seed_see_a_seed_of_the_table(answer: Answer) -> None:
    text = "71111-91111-91111"
    losses = [answer(text, seed=seed).metrics["validation_loss"] for seed in range(4)]
    assert losses[:2] == losses[2:] and losses[0] != losses[1]


@pytest.mark.parametrize("text", ["21111-91111-91111", "71111-91111"])
def test_a_genome_of_another_space_is_infeasible(text: str, answer: Answer) -> None:
    found = answer(text)
    assert found.failure == "invalid" and f"{text} is not in the table" in found.reason


def test_an_invalid_genome_is_infeasible(answer: Answer) -> None:
    found = answer("91115-91111-91111")
    assert found.failure == "invalid" and "feature_sharing" in found.reason


def test_another_recipe_is_refused_with_the_difference(config: EvolveConfig, table: Table) -> None:
    assert fingerprint(config) == table.fingerprint
    other = replace(config, depth=4, training=replace(config.training, steps=40))
    with pytest.raises(
        UserError, match=r"depth is 3 there, 4 here; training.steps is 80 there, 40 here"
    ):
        fingerprint(other)


def test_rungs_that_the_table_does_not_have_are_refused(config: EvolveConfig) -> None:
    with pytest.raises(UserError, match="has no losses after 24 steps"):
        fingerprint(config, [24, WHOLE])


def test_objectives_that_need_the_model_are_refused(config: EvolveConfig) -> None:
    recipe = recipe_of(config, objectives=(f"{__name__}:Sharpness",))
    with pytest.raises(
        UserError, match=r"search.objectives=\['sharpness'\]: expected what a table"
    ):
        TableConfig().check(recipe)


class Sharpness(Objective):
    name = "sharpness"

    def measure(self, context: Context) -> dict[str, float]:
        return {self.name: 0.0}


def write_copy(table: Table, folder: Path, rows: pd.DataFrame) -> Path:
    path = folder / "table.csv.gz"
    rows.to_csv(path, index=False)
    (folder / "recipe.yaml").write_text((PACKAGED.parent / "recipe.yaml").read_text())
    return path


def test_fingerprints_tell_tables_apart(table: Table, tmp_path: Path) -> None:
    changed = table.rows.copy()
    changed["validation_loss_80"] = changed["validation_loss_80"] + 1
    assert Table.read(write_copy(table, tmp_path, changed)).fingerprint != table.fingerprint


@pytest.mark.parametrize(
    "damage", ["missing", "truncated", "no recipe", "other recipe", "no column", "gap"]
)
def test_a_table_that_cannot_be_used_is_refused(damage: str, table: Table, tmp_path: Path) -> None:
    rows = table.rows.copy()
    if damage == "no column":
        rows = rows.drop(columns="validation_loss_40")
    elif damage == "gap":
        rows.loc[3, "validation_loss_40"] = math.nan
    path = write_copy(table, tmp_path, rows)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "no recipe":
        (tmp_path / "recipe.yaml").unlink()
    elif damage == "other recipe":
        (tmp_path / "recipe.yaml").write_text("lr: 1\n")
    with pytest.raises(
        UserError, match=r"executor.path=.*table.csv.gz: cannot be used \(.*build.py makes one"
    ):
        Table.read(path)


def evolve(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A search that has nowhere to keep a corpus."""
    command = [sys.executable, "-m", "star.evolve", "+experiment=tabular", *arguments]
    environment = {**os.environ, "STAR_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
def test_the_command_searches_the_table_without_any_text_and_resumes(
    tmp_path: Path, table: Table
) -> None:
    result = evolve("search.generations=3", "seed=1", "run_dir=run", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "cache" / "corpora").exists()
    losses = table.rows[table.rows["seed"] == 1].set_index("genome")["validation_loss_80"]
    population = pd.read_csv(tmp_path / "run" / "population.csv", dtype={"genome_id": str})
    assert len(population) >= 48 and (population["status"] == "ok").all()
    assert population["validation_loss"].tolist() == losses[population["genome"]].tolist()
    longer = evolve("search.generations=5", "seed=1", "run_dir=run", folder=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert f"{len(population)} evaluations are in" in longer.stdout
    assert len(pd.read_csv(tmp_path / "run" / "population.csv")) > len(population)


@pytest.mark.slow
def test_the_command_refuses_another_recipe(tmp_path: Path) -> None:
    result = evolve("width=64", "run_dir=run", folder=tmp_path)
    assert result.returncode == 2 and "model.width is 32 there, 64 here" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and not (tmp_path / "run").exists()
