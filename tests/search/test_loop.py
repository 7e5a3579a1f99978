"""The generation loop with a made-up evaluation, the archive, and the run folder."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort

from star.base.errors import UserError
from star.evaluation import CacheSetting, Evaluation, select_objectives
from star.evaluation.evaluate import infeasible
from star.evaluation.objectives import static_metrics
from star.genomes import Genome, ModelConfig, read_genome_file, read_library
from star.runs.folder import RunFolder
from star.search.algorithms.build import build_algorithm, check_search
from star.search.archive import Archive
from star.search.candidates import COLUMNS, Evaluated
from star.search.config import SearchConfig
from star.search.front import hypervolume, pareto_ranks
from star.search.loop import EvaluationLoop, evaluate_baselines, run_generations
from star.search.space.problem import GenomeProblem
from star.search.space.seeds import read_seeds

NSGA2 = {"_target_": "pymoo.algorithms.moo.nsga2.NSGA2"}
GA = "pymoo.algorithms.soo.nonconvex.ga.GA"
DEPTH = 4


def made_up(genome: Genome) -> Evaluation:
    """A loss from the hash; every architecture with a long convolution diverges."""
    if any(liv_class.name.startswith("GConv-2") for liv_class in genome.classes()):
        return infeasible("diverged", "loss is nan at step 3")
    costs = static_metrics(genome, ModelConfig(), CacheSetting(4096, 1, "bfloat16"))
    loss = 2.0 + int(genome.id, 16) / 16**12
    return Evaluation(
        "ok", "", {**costs, "validation_loss": loss, "bits_per_byte": loss, "perplexity": loss}, 0.1
    )


class FakeWorkers:
    """Answers in shuffled order and counts what was asked."""

    def __init__(self, shuffle_seed: int) -> None:
        self.asked: list[str] = []
        self.random = random.Random(shuffle_seed)

    def evaluate(
        self, genomes: Sequence[Genome], rung: object = None, /
    ) -> Iterator[tuple[int, Evaluation]]:
        self.asked += [genome.id for genome in genomes]
        for index in self.random.sample(range(len(genomes)), len(genomes)):
            yield index, made_up(genomes[index])


def search(
    folder: Path, shuffle_seed: int = 0, seeds: tuple[str, ...] = (), **settings: object
) -> tuple:
    config = SearchConfig(algorithm=NSGA2, population=8, generations=4, **settings)  # type: ignore[arg-type]
    check_search(config)
    objectives = select_objectives(["validation_loss", "cache_bytes"])
    genomes, _ = read_seeds(seeds, DEPTH, "star")
    algorithm, duplicates, _ = build_algorithm(config, GenomeProblem(DEPTH, 2), genomes, seed=7)
    archive, workers, run = Archive(objectives), FakeWorkers(shuffle_seed), RunFolder(folder)
    baselines = {"transformer_pp": Genome.from_text("11111-91111-11111-91111")}
    evaluation = EvaluationLoop(archive, workers.evaluate, 7, run.append)
    evaluate_baselines(baselines, evaluation)
    ids = {genome.id for genome in genomes}
    for _ in run_generations(algorithm, 4, evaluation, ids, duplicates):
        run.write_views(archive)
    return archive, workers, run


def test_results_do_not_depend_on_the_order_of_finishing(tmp_path: Path) -> None:
    search(tmp_path / "a", shuffle_seed=1)
    search(tmp_path / "b", shuffle_seed=2)
    for name in ("population.csv", "pareto.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_architecture_is_evaluated_twice(tmp_path: Path) -> None:
    archive, workers, _ = search(tmp_path / "run", seeds=("transformer_pp", "mamba"))
    assert len(workers.asked) == len(set(workers.asked)) == len(archive)
    # The seed transformer_pp is the baseline, so 1 + 4 x 8 proposals make 32 evaluations.
    assert len(archive) == 32


def test_csvs_hold_what_they_promise(tmp_path: Path) -> None:
    archive, _, run = search(tmp_path / "run", seeds=("mamba",))
    population = pd.read_csv(
        run.path / "population.csv", dtype={"genome_id": str}, keep_default_na=False
    )
    assert tuple(population.columns) == COLUMNS and len(population) == len(archive)
    assert set(population["origin"]) == {"baseline", "seed", "random", "offspring"}
    known = set(population["genome_id"])
    offspring = population[population["origin"] == "offspring"]
    assert all(set(parents.split()) <= known and parents for parents in offspring["parents"])
    failed = population[population["status"] == "infeasible"]
    assert len(failed) and set(failed["reason"]) == {"diverged: loss is nan at step 3"}
    assert set(failed["rank"]) == {""} and set(failed["validation_loss"]) == {""}
    measured = population[population["status"] == "ok"]
    values = measured[["validation_loss", "cache_bytes"]].astype(float).to_numpy()
    front = set(measured["genome_id"].iloc[fast_non_dominated_sort(values)[0]])
    pareto = pd.read_csv(run.path / "pareto.csv", dtype={"genome_id": str})
    assert (
        set(pareto["genome_id"])
        == front
        == set(measured[measured["rank"].astype(int) == 0]["genome_id"])
    )
    assert list(pareto["cache_bytes"]) == sorted(pareto["cache_bytes"])
    files = {path.stem: read_genome_file(path) for path in (run.path / "genomes").iterdir()}
    assert set(files) == front
    for genome_id, content in files.items():
        assert content.genome.id == genome_id
        assert (
            content.metrics["validation_loss"]
            == archive[genome_id].evaluation.metrics["validation_loss"]
        )


def test_candidates_are_in_the_csv_as_soon_as_they_finish(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    lines = []

    def record(evaluated: Evaluated) -> None:
        run.append(evaluated)
        lines.append(len((run.path / "population.csv").read_text().splitlines()))

    baselines = {name: Genome.from_text(text) for name, text in (("a", "11111"), ("b", "91111"))}
    archive = Archive(select_objectives(["validation_loss"]))
    evaluate_baselines(baselines, EvaluationLoop(archive, FakeWorkers(0).evaluate, 0, record))
    assert lines == [2, 3]


def test_an_interrupt_keeps_what_has_finished() -> None:
    archive = Archive(select_objectives(["validation_loss"]))

    def interrupt(evaluated: Evaluated) -> None:
        raise KeyboardInterrupt

    baselines = {name: Genome.from_text(text) for name, text in (("a", "11111"), ("b", "91111"))}
    with pytest.raises(KeyboardInterrupt):
        evaluate_baselines(
            baselines, EvaluationLoop(archive, FakeWorkers(0).evaluate, 0, interrupt)
        )
    assert len(archive) == 1


def test_search_beats_its_first_generation(tmp_path: Path) -> None:
    archive, _, _ = search(tmp_path / "run")
    first = [e for e in archive.feasible if e.candidate.generation == 0]
    reference = archive.values(archive.feasible).max(axis=0)
    everything = hypervolume(archive.values(archive.front()), reference)
    assert everything > hypervolume(archive.values(first), reference)


def test_a_run_without_a_ledger_is_never_overwritten(tmp_path: Path) -> None:
    search(tmp_path / "run")
    before = (tmp_path / "run" / "population.csv").read_bytes()
    with pytest.raises(UserError, match="holds population.csv without a ledger to go on from"):
        RunFolder(tmp_path / "run")
    assert (tmp_path / "run" / "population.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 0}, "search.population=0"),
        ({"alphabet": "greek"}, "search.alphabet=greek: expected one of star, extended"),
        ({"mutation_probability": 1.5}, "search.mutation_probability=1.5"),
        ({"algorithm": {}}, "search.algorithm._target_ is not set"),
    ],
)
def test_bad_settings(changes: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_search(SearchConfig(**{"algorithm": NSGA2, **changes}))
    assert message in str(caught.value)


@pytest.mark.parametrize("target", ["pymoo.no.such.Algorithm", "pymoo.core.population.Population"])
def test_an_algorithm_that_cannot_be_built(target: str) -> None:
    with pytest.raises(UserError, match="search.algorithm"):
        build_algorithm(SearchConfig(algorithm={"_target_": target}), GenomeProblem(2, 1), [], 0)


def test_ranks_match_pymoo_and_hypervolume_is_a_share() -> None:
    values = np.random.default_rng(0).random((40, 2))
    ranks = pareto_ranks(values)
    for rank, front in enumerate(fast_non_dominated_sort(values)):
        assert set(np.flatnonzero(ranks == rank)) == set(front)
    assert hypervolume(np.array([[0.5, 0.5]]), np.ones(2)) == pytest.approx(0.25)
    assert hypervolume(np.array([[1.0, 5.0]]), np.array([2.0, 10.0])) == pytest.approx(0.25)
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0


def test_unknown_and_repeated_objectives() -> None:
    with pytest.raises(
        UserError, match="search.objectives: 'speed' is unknown; available: validation_loss"
    ):
        select_objectives(["speed"])
    with pytest.raises(UserError, match="different names"):
        select_objectives(["parameters", "parameters"])


def test_seeds_mix_names_files_folders_and_csvs(tmp_path: Path) -> None:
    _, _, run = search(tmp_path / "run")
    pareto = pd.read_csv(run.path / "pareto.csv")
    single = next((run.path / "genomes").iterdir())
    seeds, notices = read_seeds(["mamba", str(single), str(run.path / "pareto.csv")], DEPTH, "star")
    assert len(seeds) == len(pareto) + 1 and notices == []
    from_folder, _ = read_seeds([str(run.path / "genomes")], DEPTH, "star")
    assert {seed.id for seed in from_folder} == set(pareto["genome_id"])
    assert seeds[0].id == read_library("mamba").genome.from_text("51111-51111-51111-51111").id


def test_seeds_of_another_depth_are_fitted_with_a_notice(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("genome\n11111-91111\n")
    seeds, notices = read_seeds(
        [str(tmp_path / "p.csv"), "71111-91111-71111-91111-71111"], DEPTH, "star"
    )
    assert [seed.depth for seed in seeds] == [DEPTH, DEPTH]
    assert "repeated from depth 2 to 4" in notices[0] and "cut from depth 5 to 4" in notices[1]


def test_an_odd_population_and_one_objective_work() -> None:
    for target, objectives in ((NSGA2["_target_"], 2), (NSGA2["_target_"], 1), (GA, 1)):
        config = SearchConfig(algorithm={"_target_": target}, population=7, generations=3)
        check_search(config)
        algorithm, duplicates, _ = build_algorithm(
            config, GenomeProblem(DEPTH, objectives), [], seed=0
        )
        archive = Archive(select_objectives(["validation_loss", "cache_bytes"][:objectives]))
        evaluation = EvaluationLoop(archive, FakeWorkers(0).evaluate, 0, lambda _: None)
        assert list(run_generations(algorithm, 3, evaluation, set(), duplicates)) == [0, 1, 2]
        assert len(archive) == 21


def test_an_algorithm_for_one_objective_refuses_two() -> None:
    config = SearchConfig(algorithm={"_target_": GA})
    with pytest.raises(UserError, match="minimises one objective, but search.objectives names 2"):
        build_algorithm(config, GenomeProblem(DEPTH, 2), [], seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("genome,status\n", r"p.csv holds no measured genome"),
        ("genome,status\n11111,infeasible\n", r"p.csv holds no measured genome"),
        ("genome\n11111-91114\n", r"p.csv line 2: .*LIV 1 gene feature_sharing: 4"),
        ("genome\n11111\n1111\n", r"p.csv line 3: .*LIV 0 is '1111'"),
        ("name\nx\n", r"p.csv has no column 'genome'"),
        ("genome\n18.1.1.1.1\n", r"p.csv line 2: .*LIV 0 gene liv_class: 18"),
    ],
)
def test_bad_csv_seeds(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_seeds([str(tmp_path / "p.csv")], DEPTH, "star")


@pytest.mark.parametrize("reference", ["no_design", "missing.csv", "missing.yaml", "11111-11116"])
def test_bad_seeds(reference: str) -> None:
    with pytest.raises(UserError, match="search.seeds"):
        read_seeds([reference], DEPTH, "star")


def test_a_file_seed_of_a_larger_alphabet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        "schema: 1\nalphabet: extended\ngenome: 18.1.1.1.1-9.1.1.1.1\n"
    )
    with pytest.raises(
        UserError, match=r"g.yaml: LIV 0 is LinAttn, expected one of SA-1.*search.alphabet=star"
    ):
        read_seeds([str(tmp_path / "g.yaml")], DEPTH, "star")
