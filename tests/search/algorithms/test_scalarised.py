"""Weighted sums, the augmented Chebyshev function, and the genetic algorithm on them."""

from collections.abc import Callable

import numpy as np
import pytest
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from star.genomes import Genome
from star.search.algorithms.scalarised import SCORE, Scalarisation, ScalarisedGA, ScalarisedSurvival
from star.search.config import SearchConfig
from star.search.space.problem import GenomeProblem
from star.search.variation.crossover import LivCrossover
from star.search.variation.gene_mutation import GeneMutation
from star.search.variation.sampling import CanonicalDuplicates, GenomeRepair, GenomeSampling

GENETIC = {"_target_": "star.search.algorithms.scalarised.ScalarisedGA"}
DEPTH = 5


def population(objectives: list[list[float]], violated: tuple[int, ...] = ()) -> Population:
    """Individuals with these objectives, some of them infeasible."""
    count = len(objectives)
    violations = np.zeros((count, 1))
    violations[list(violated)] = 1
    individuals = Population.new(X=np.repeat(np.arange(count)[:, None], 5, axis=1))
    Evaluator().eval(
        StaticProblem(GenomeProblem(1, 2), F=np.array(objectives), G=violations), individuals
    )
    return individuals


@pytest.mark.parametrize(
    ("kind", "weights", "expected"),
    [
        ("weights", (), [0.5, 0.5, 0.75 / 2]),
        ("weights", (3, 1), [0.25, 0.75, 0.3125]),
        ("weights", (1, 0), [0, 1, 0.25]),
        ("chebyshev", (), [0.5 + 0.05 * 0.5, 0.5 + 0.05 * 0.5, 0.25 + 0.05 * 0.375]),
        ("chebyshev", (3, 1), [0.25 + 0.05 * 0.25, 0.75 + 0.05 * 0.75, 0.1875 + 0.05 * 0.3125]),
        ("chebyshev", (1, 0), [0, 1.05, 0.25 * 1.05]),
    ],
)
def test_values_of_scaled_objectives(
    kind: str, weights: tuple[float, ...], expected: list[float]
) -> None:
    # The first is best in the first objective, the second in the second; scaled, the third is (1/4,
    # 1/2).
    objectives = np.array([[10.0, 5.0], [50.0, 1.0], [20.0, 3.0]])
    assert Scalarisation(kind, weights).values(objectives) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["weights", "chebyshev"])
def test_one_objective_is_returned_as_it_is(kind: str) -> None:
    objectives = np.array([[3.0], [-1.0], [3.0 + 1e-15]])
    assert (Scalarisation(kind).values(objectives) == objectives[:, 0]).all()


@pytest.mark.parametrize("kind", ["weights", "chebyshev"])
@pytest.mark.parametrize("objectives", [[[2.0, 7.0]], [[2.0, 7.0], [2.0, 7.0]]])
def test_equal_candidates_have_equal_finite_values(
    kind: str, objectives: list[list[float]]
) -> None:
    values = Scalarisation(kind).values(np.array(objectives))
    assert np.isfinite(values).all() and np.ptp(values) == 0


def test_chebyshev_finds_what_a_weighted_sum_cannot() -> None:
    dented = np.array(
        [[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]]
    )  # the middle is non-dominated but not on the hull
    for weights in ((1, 1), (1, 3), (3, 1), (9, 10)):
        assert Scalarisation("weights", weights).values(dented).argmin() != 1
    assert Scalarisation("chebyshev").values(dented).argmin() == 1


def test_a_dominated_candidate_never_scores_as_well() -> None:
    points = np.random.default_rng(0).random((50, 3))
    points[1] = points[0] + [0.0, 0.1, 0.0]
    for kind in ("weights", "chebyshev"):
        values = Scalarisation(kind, (5, 1, 1)).values(points)
        assert values[0] < values[1]


def test_infeasible_individuals_score_infinity_and_do_not_set_the_scale() -> None:
    everyone = population([[1, 1], [np.inf, np.inf], [3, 0], [1000, 1000]], violated=(1, 3))
    scores = Scalarisation("weights").scores(everyone)
    assert scores[[0, 2]] == pytest.approx([0.5, 0.5]) and np.isinf(scores[[1, 3]]).all()


def test_survival_keeps_the_best_and_infeasible_ones_last() -> None:
    everyone = population([[np.inf, np.inf], [9, 9], [1, 1], [2, 2], [0, 0]], violated=(0, 4))
    survivors = ScalarisedSurvival(Scalarisation()).do(GenomeProblem(1, 2), everyone, n_survive=4)
    assert [int(survivor.X[0]) for survivor in survivors] == [2, 3, 1, 0]
    assert survivors[0].get(SCORE) == 0


def cost(genes: np.ndarray) -> tuple[float, float]:
    """A made-up objective with many ties, and the violation of those that cannot be measured."""
    violation = float(genes[0] == 9)
    return (np.inf if violation else float(genes[::5].sum() // 4)), violation


@pytest.mark.slow
def test_with_one_objective_it_is_pymoos_genetic_algorithm() -> None:
    def populations(build: Callable[..., GA], seed: int) -> list[np.ndarray]:
        problem = GenomeProblem(DEPTH, 1)
        algorithm = build(
            pop_size=10,
            sampling=GenomeSampling(),
            crossover=LivCrossover(),
            mutation=GeneMutation(),
            repair=GenomeRepair(),
            eliminate_duplicates=CanonicalDuplicates(),
        )
        algorithm.setup(problem, seed=seed, termination=("n_gen", 20))
        seen = []
        for _ in range(8):
            children = algorithm.ask()
            assert children is not None
            values = np.array([cost(child.X) for child in children])
            Evaluator().eval(StaticProblem(problem, F=values[:, :1], G=values[:, 1:]), children)
            algorithm.tell(infills=children)
            assert algorithm.pop is not None
            seen += [children.get("X"), algorithm.pop.get("X")]
        return seen

    for seed in range(3):
        for kind in ("weights", "chebyshev"):
            ours = populations(lambda kind=kind, **operators: ScalarisedGA(kind, **operators), seed)
            for mine, pymoos in zip(ours, populations(GA, seed), strict=True):
                assert np.array_equal(mine, pymoos)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weights", "chebyshev"])
def test_weights_choose_the_end_of_the_front(evolve: Callable, kind: str) -> None:
    designs = [Genome.from_text("-".join([liv] * DEPTH)).to_array() for liv in ("11111", "91111")]
    objectives = [
        lambda genome, design=design: float((genome.to_array() != design).sum())
        for design in designs
    ]

    def final(weights: list[float]) -> np.ndarray:
        """Mean of the last population's objectives over four searches."""
        config = SearchConfig(
            algorithm={**GENETIC, "scalarisation": kind, "weights": weights},
            population=10,
            generations=10,
        )
        config.variation.sharing_mutation_probability = 0.0  # both designs share nothing
        runs = [evolve(config, objectives, seed, DEPTH) for seed in range(4)]
        return np.mean([run.algorithm.pop.get("F").mean(axis=0) for run in runs], axis=0)

    first, second = final([10, 1]), final([1, 10])
    assert first[0] < first[1] - 1 and second[1] < second[0] - 1
    assert first[0] < second[0] - 1 and second[1] < first[1] - 1
