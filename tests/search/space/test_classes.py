"""Searches that are restricted to some classes of their alphabet."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import star.evolve  # noqa: F401  # registers the configuration schema
from star.base.errors import UserError
from star.configuration import EvolveConfig
from star.evolve import make_plan
from star.genomes import Genome
from star.search.algorithms.build import check_search
from star.search.config import SearchConfig
from star.search.space.alphabet import search_alphabet
from star.search.space.seeds import read_seeds

NSGA2 = {"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"}


def few_classes(**settings: object) -> SearchConfig:
    return SearchConfig(algorithm=NSGA2, classes=["SA-1", "GConv-1"], **settings)  # type: ignore[arg-type]


def used(genome: Genome) -> set[str]:
    return {liv_class.name for liv_class in genome.classes()}


@pytest.mark.parametrize("constrained", [True, False])
def test_only_the_named_classes_are_proposed(evolve: Callable, constrained: bool) -> None:
    config = few_classes(
        population=12, generations=8, mutation_probability=0.4, constrained_mutation=constrained
    )
    run = evolve(config, [lambda genome: float(genome.depth - len(used(genome)))])
    proposed = [evaluated.candidate.genome for evaluated in run.archive.all]
    assert set().union(*map(used, proposed)) == {"SA-1", "GConv-1"} and len(proposed) == 96


def test_unknown_classes_are_refused_with_those_there_are() -> None:
    with pytest.raises(
        UserError, match=r"search.classes=\['SA-9'\]: class 'SA-9' is unknown .* available: SA-1, "
    ):
        check_search(SearchConfig(algorithm=NSGA2, classes=["SA-9"]))


@pytest.mark.parametrize("seed", ["lfm2", "11111-91111", "file.csv"])
def test_seeds_of_other_classes_are_refused(tmp_path: Path, seed: str) -> None:
    (tmp_path / "file.csv").write_text("genome\n11111-91111\n")
    reference = str(tmp_path / seed) if seed.endswith("csv") else seed
    with pytest.raises(UserError, match=r"LIV 1 is GMemless, expected one of SA-1, GConv-1 "):
        read_seeds([reference], 6, search_alphabet(few_classes()))


def test_seeds_of_these_classes_are_taken_whatever_alphabet_their_file_names(
    tmp_path: Path,
) -> None:
    (tmp_path / "g.yaml").write_text("schema: 1\nalphabet: extended\ngenome: 11111-71111\n")
    letters = search_alphabet(few_classes())
    (seed,), _ = read_seeds([str(tmp_path / "g.yaml")], 2, letters)
    assert seed.alphabet is letters


def test_baselines_may_hold_other_classes() -> None:
    with initialize_config_module("star.conf", version_base="1.3"):
        overrides = [
            "scale=cpu",
            "+experiment=smoke",
            "search.classes=[SA-1,GConv-1]",
            "search.baselines=[lfm2]",
        ]
        config = OmegaConf.to_object(compose("evolve", overrides))
    assert isinstance(config, EvolveConfig)
    plan = make_plan(config)
    assert "GMemless" in used(plan.baselines["lfm2"])
    assert plan.algorithm.problem.alphabet.ids == (1, 7)  # type: ignore[union-attr]
