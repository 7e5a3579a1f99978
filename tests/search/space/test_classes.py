"""Searches that are restricted to some classes of their alphabet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from star.base.command_line import compose_config
from star.base.errors import UserError
from star.genomes import Genome, ModelConfig
from star.search import Search
from star.search.config import SearchConfig, SpaceConfig, VariationConfig
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds
from tests.search.made_up import MadeUp

FEW = SearchConfig(space=SpaceConfig(classes=["SA-1", "GConv-1"]))


def few(depth: int) -> GenomeProblem:
    """The space of these two classes."""
    return GenomeProblem.from_config(FEW, depth, 2)


def used(genome: Genome) -> set[str]:
    return {liv_class.name for liv_class in genome.classes()}


@pytest.mark.parametrize("constrained", [True, False])
def test_only_the_named_classes_are_proposed(evolve: Callable, constrained: bool) -> None:
    variation = VariationConfig(mutation_probability=0.4, constrained_mutation=constrained)
    config = replace(FEW, population=12, generations=8, variation=variation)
    run = evolve(config, [lambda genome: float(genome.depth - len(used(genome)))])
    proposed = [evaluated.candidate.genome for evaluated in run.archive.all]
    assert set().union(*map(used, proposed)) == {"SA-1", "GConv-1"} and len(proposed) == 96


def test_unknown_classes_are_refused_with_those_there_are() -> None:
    message = r"search.space.classes=\['SA-9'\]: class 'SA-9' is unknown .* available: SA-1, "
    with pytest.raises(UserError, match=message):
        SearchConfig(space=SpaceConfig(classes=["SA-9"])).check(4)


@pytest.mark.parametrize("seed", ["11111-91111", "file.csv"])
def test_seeds_of_other_classes_are_refused(tmp_path: Path, seed: str) -> None:
    (tmp_path / "file.csv").write_text("genome\n11111-91111\n")
    reference = str(tmp_path / seed) if seed.endswith("csv") else seed
    with pytest.raises(UserError, match=r"LIV 1 is GMemless, expected one of SA-1, GConv-1 "):
        read_seeds([reference], few(6))


def test_seeds_of_these_classes_are_taken_whatever_alphabet_their_file_names(
    tmp_path: Path,
) -> None:
    (tmp_path / "g.yaml").write_text("schema: 1\nalphabet: extended\ngenome: 11111-71111\n")
    problem = few(2)
    (seed,), _ = read_seeds([str(tmp_path / "g.yaml")], problem)
    assert seed.alphabet is problem.alphabet


def test_baselines_may_hold_other_classes() -> None:
    overrides = ["search.space.classes=[SA-1,GConv-1]", "search.baselines=[lfm2]"]
    config = compose_config("evolve", ["+experiment=smoke", "scale=cpu", *overrides])
    search = Search.from_config(config, MadeUp())
    assert "GMemless" in used(search.baselines["lfm2"])
    assert search.problem.alphabet.ids == (1, 7)


def test_classes_without_whole_heads_are_left_out_and_named() -> None:
    settings = SearchConfig(space=SpaceConfig(alphabet="released"))
    problem = GenomeProblem.from_config(settings, 4, 2, [ModelConfig(width=64)])
    assert problem.left_out == ["QKNorm-8", "GatedAttn-8", "GQA-3", "GQA-8"]
    assert not {"GQA-3", "GQA-8"} & {liv_class.name for liv_class in problem.alphabet.classes}
    (notice,) = problem.notices(64)
    assert notice.startswith("model.width=64: ") and notice.endswith("GQA-3, GQA-8")
    wide = GenomeProblem.from_config(settings, 4, 2, [ModelConfig(width=24 * 64)])
    assert wide.left_out == wide.notices(24 * 64) == []


def test_an_alphabet_of_which_nothing_fits_is_refused() -> None:
    settings = SearchConfig(space=SpaceConfig(alphabet="released", classes=["GQA-8"]))
    with pytest.raises(UserError, match=r"none has whole heads at model.width=64"):
        GenomeProblem.from_config(settings, 4, 2, [ModelConfig(width=64)])
