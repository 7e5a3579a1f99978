"""The committed table and the evaluator that answers from it."""

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import star.evolve  # noqa: F401  # registers the configuration schema
from star.base.errors import UserError
from star.configuration import EvolveConfig
from star.data import load_corpus
from star.evaluation import Recipe
from star.evaluation.evaluate import evaluate
from star.evaluation.executors.table import (
    COMMITTED,
    Table,
    TabularEvaluator,
    open_table,
    recipe_settings,
)
from star.evaluation.objectives import static_metrics
from star.evaluation.rungs import Rung
from star.genomes import Genome, get_alphabet
from star.genomes.validity import find_problems
from tests.genomes.definition import canonical_livs

TOLERANCE = 1e-3  # nats per token between machines, after 80 steps in float32


@pytest.fixture(scope="module")
def config() -> EvolveConfig:
    with initialize_config_module("star.conf", version_base="1.3"):
        composed = OmegaConf.to_object(compose("evolve", ["scale=cpu", "+experiment=tabular"]))
    assert isinstance(composed, EvolveConfig)
    return composed


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read(COMMITTED)


@pytest.fixture
def evaluator(config: EvolveConfig, table: Table) -> Callable[[int], TabularEvaluator]:
    return lambda seed: TabularEvaluator(table, recipe_of(config, seed))


def recipe_of(config: EvolveConfig, seed: int = 0) -> Recipe:
    return Recipe(config.model, config.cache, config.training, config.data, seed)


def settings_of(config: EvolveConfig) -> dict[str, object]:
    return recipe_settings(
        recipe_of(config), config.depth, config.search.alphabet, config.search.classes
    )


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


def test_table_holds_every_architecture_of_its_space_once(
    table: Table, config: EvolveConfig
) -> None:
    ids = [c.id for c in get_alphabet("star").classes if c.name in config.search.classes]
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
    text: str,
    seed: int,
    config: EvolveConfig,
    table: Table,
    evaluator: Callable[[int], TabularEvaluator],
) -> None:
    corpus = load_corpus(config.data)
    if corpus.fingerprint != table.recipe["data_fingerprint"]:
        pytest.skip("the table was made with the library of another Python")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = evaluate(Genome.from_text(text), recipe_of(config, seed), corpus)
    torch.set_num_threads(threads)
    ((_, answer),) = evaluator(seed).evaluate([Genome.from_text(text)])
    assert answer.status == trained.status == "ok" and set(answer.metrics) == set(trained.metrics)
    assert answer.metrics == pytest.approx(dict(trained.metrics), rel=TOLERANCE)


def test_equal_architectures_get_equal_answers(
    evaluator: Callable[[int], TabularEvaluator],
) -> None:
    canonical, written_otherwise = "31112-91111-31112", "33132-92121-33132"
    genomes = [Genome.from_text(text) for text in (canonical, written_otherwise)]
    (_, first), (_, second) = evaluator(0).evaluate(genomes)
    assert first.feasible and first.metrics == second.metrics


def test_static_objectives_follow_the_settings(config: EvolveConfig, table: Table) -> None:
    genome = Genome.from_text("11111-91111-51111")
    recipe = replace(recipe_of(config), cache=replace(config.cache, context=64))
    ((_, answer),) = TabularEvaluator(table, recipe).evaluate([genome])
    assert static_metrics(genome, config.model, recipe.cache).items() <= answer.metrics.items()


def test_rungs_are_columns_of_the_same_training(
    table: Table, evaluator: Callable[[int], TabularEvaluator]
) -> None:
    text = "71111-91111-91111"
    row = table.rows[(table.rows["genome"] == text) & (table.rows["seed"] == 1)].iloc[0]
    for steps in table.recipe["steps"]:
        ((_, answer),) = evaluator(1).evaluate([Genome.from_text(text)], Rung(steps))
        assert answer.metrics["validation_loss"] == row[f"validation_loss_{steps}"]
    with pytest.raises(
        UserError, match="has no losses after 30 steps, expected one of 10, 20, 40, 80"
    ):
        list(evaluator(1).evaluate([Genome.from_text(text)], Rung(30)))


def test_searches_of_any_seed_see_a_seed_of_the_table(
    evaluator: Callable[[int], TabularEvaluator],
) -> None:
    genome = Genome.from_text("71111-91111-91111")
    losses = []
    for seed in range(4):
        ((_, answer),) = evaluator(seed).evaluate([genome])
        losses.append(answer.metrics["validation_loss"])
    assert losses[:2] == losses[2:] and losses[0] != losses[1]


@pytest.mark.parametrize("text", ["21111-91111-91111", "71111-91111"])
def test_a_genome_of_another_space_is_infeasible(
    text: str, evaluator: Callable[[int], TabularEvaluator]
) -> None:
    ((_, answer),) = evaluator(0).evaluate([Genome.from_text(text)])
    assert answer.failure == "invalid" and f"{text} is not in the table" in answer.reason


def test_an_invalid_genome_is_infeasible(evaluator: Callable[[int], TabularEvaluator]) -> None:
    ((_, answer),) = evaluator(0).evaluate([Genome.from_text("91115-91111-91111")])
    assert answer.failure == "invalid" and "feature_sharing" in answer.reason


def test_an_interrupt_ends_the_search(config: EvolveConfig, table: Table) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(
            TabularEvaluator(table, recipe_of(config), interrupt).evaluate(
                [Genome.from_text("91111-91111-91111")]
            )
        )


def test_another_recipe_is_refused_with_the_difference(config: EvolveConfig) -> None:
    assert open_table("tabular", None, settings_of(config)) is not None
    other = replace(config, depth=4, training=replace(config.training, steps=40))
    with pytest.raises(
        UserError, match=r"depth is 3 there, 4 here; training.steps is 80 there, 40 here"
    ):
        open_table("tabular", None, settings_of(other))


def test_rungs_that_the_table_does_not_have_are_refused(config: EvolveConfig) -> None:
    with pytest.raises(UserError, match="has no losses after 24 steps"):
        open_table("tabular", None, settings_of(config), [24, 80])


def test_training_needs_no_table(config: EvolveConfig) -> None:
    assert open_table("train", None, settings_of(replace(config, depth=8))) is None
    with pytest.raises(
        UserError, match=r"search.table=x: is read with search.evaluator=tabular only"
    ):
        open_table("train", "x", settings_of(config))
    with pytest.raises(UserError, match=r"search.evaluator=guess: expected one of train, tabular"):
        open_table("guess", None, settings_of(config))


def write_copy(table: Table, folder: Path, rows: pd.DataFrame) -> Path:
    path = folder / "table.csv.gz"
    rows.to_csv(path, index=False)
    (folder / "recipe.yaml").write_text((COMMITTED.parent / "recipe.yaml").read_text())
    return path


def test_fingerprints_tell_tables_apart(table: Table, tmp_path: Path) -> None:
    changed = table.rows.copy()
    changed.loc[0, "validation_loss_80"] += 1
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
        UserError, match=r"search.table=.*table.csv.gz: cannot be used \(.*build.py makes one"
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
    assert not (tmp_path / "cache").exists()
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
