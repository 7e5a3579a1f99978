"""Crossover of genomes between LIVs, on whole populations."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.crossover import Crossover
from pymoo.core.population import Population

from star.genomes import BACKBONE_GENE_NAMES, GENES_PER_LIV
from star.genomes.genes import Booleans, Genes
from star.search.space.backbones import backbones_of
from star.search.space.depths import depths_of, fit_group_numbers
from star.search.space.ids import as_livs, ids
from star.search.space.problem import GenomeProblem
from star.search.variation.history import BACKBONE, CROSSOVER, record


class LivCrossover(Crossover):
    """k-point crossover whose cuts lie between LIVs; children keep their parents' ids and the cuts.

    Parents of different depths are cut where both have LIVs; the last segment is long or short, so
    that children have a parent's depth. Each gene of the backbone is either parent's.
    """

    def __init__(self, points: int = 2, prob: float = 0.9) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=prob)
        self.points = points
        self._cuts: list[list[int]] = []  # of the matings in the call under way

    def do(
        self, problem: GenomeProblem, pop: Any, parents: Any = None, *args: Any, **kwargs: Any
    ) -> Population:
        """Cross the mated parents; children carry `parents`, the ids of both, and `variation`."""
        matings = pop if parents is None else [pop[mating] for mating in parents]
        self._cuts = [[] for _ in matings]
        children = super().do(problem, pop, parents, *args, **kwargs)
        firsts, seconds = ([mating[number] for mating in matings] for number in range(2))
        unlike = np.stack([child.X for child in children]) != np.stack(
            [parent.X for parent in firsts + seconds]
        )
        # pymoo gives the first children of all matings, then the second ones, which have the same
        # cuts. Some matings it leaves uncrossed, although `_do` has drawn cuts for them: where a
        # child equals its parent no cut is recorded.
        crossed = zip(unlike.any(axis=1).tolist(), self._cuts * 2, strict=True)
        cuts = [cut if is_crossed else [] for is_crossed, cut in crossed]
        record(
            children, CROSSOVER, cuts[: len(matings)] + [[0, *cut] for cut in cuts[len(matings) :]]
        )
        record(
            children, BACKBONE,
            [*_taken(unlike[: len(matings)], 1), *_taken(unlike[len(matings) :], 0)],
        )  # fmt: skip
        first_ids, second_ids = (
            ids(group, problem.alphabet, problem.full_depth) for group in (firsts, seconds)
        )
        pairs = list(zip(first_ids, second_ids, strict=True))
        for child, pair in zip(children, pairs + pairs, strict=True):
            child.set("parents", list(pair))
        return children

    def _do(  # type: ignore[override]
        self,
        problem: GenomeProblem,
        X: Genes,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Genes:
        """X and the result: int64 (2, matings, n_var)."""
        depth, matings = problem.vector_depth, X.shape[1]
        livs, backbones = np.split(X, [depth * GENES_PER_LIV], axis=2)
        draws = random_state.random((matings, depth - 1))
        swapped = random_state.random(backbones.shape[1:]) < 0.5
        crossed = np.where(swapped, backbones[::-1], backbones)
        if problem.varies:
            return np.concatenate([self._cross_varying(problem, livs, draws), crossed], axis=2)
        cuts = 1 + np.sort(draws.argsort(axis=1)[:, : self.points], axis=1)
        self._cuts = cuts.tolist()
        return np.concatenate([_swapped(livs, cuts, depth), crossed], axis=2)

    def _cross_varying(
        self, problem: GenomeProblem, X: Genes, draws: npt.NDArray[np.float64]
    ) -> Genes:
        """Children of parents of different depths, X and they (2, matings, vector_depth * 5).

        Random numbers (matings, vector_depth - 1) decide where the cuts are: one for each place
        between two LIVs, of which the smallest are taken. Places behind the shorter parent count as
        infinite and are taken last, as a cut at the end, which is none.

        Depth 5, two points, parents of 3 and 5 LIVs, draws .9 .2 .1 .4 for places 1 to 4: places 1
        and 2 lie within the shorter parent, so they come first, and the cuts are 1 and 2. Had the
        shorter parent 2 LIVs, only place 1 would, and the second cut would be 5, which is none.
        """
        shared = np.min([depths_of(as_livs(parents, problem.alphabet)) for parents in X], axis=0)
        places = 1 + np.arange(problem.vector_depth - 1)
        order = np.where(places < shared[:, None], draws, np.inf).argsort(axis=1)[:, : self.points]
        cuts = np.sort(
            np.where(1 + order < shared[:, None], 1 + order, problem.vector_depth), axis=1
        )
        self._cuts = [[cut for cut in row if cut < problem.vector_depth] for row in cuts.tolist()]
        children = _swapped(X, cuts, problem.vector_depth).reshape(-1, X.shape[2])
        return fit_group_numbers(as_livs(children, problem.alphabet)).reshape(X.shape)


def _taken(unlike: Booleans, parent: int) -> list[list[list[Any]]]:
    """What is recorded of children's genes of the backbone.

    Args:
        unlike: (children, n_var), where each is not as the parent that it begins with.
        parent: the other one, 0 or 1.
    """
    taken = backbones_of(unlike)
    return [
        [[name, parent] for name, there in zip(BACKBONE_GENE_NAMES, row, strict=False) if there]
        for row in taken.tolist()
    ]


def _swapped(X: Genes, cuts: Genes, depth: int) -> Genes:
    """Children (2, matings, depth * 5) of parents X that exchange every second segment; a cut at
    `depth` is none.

    For depth 5 and cuts 1, 3 `is_cut` is 0 1 0 1 0 0; its running parity 0 1 1 0 0 marks LIVs 1 and
    2, which are swapped.
    """
    is_cut = np.zeros((len(cuts), depth + 1), dtype=bool)
    np.put_along_axis(is_cut, cuts, True, axis=1)
    swapped = np.logical_xor.accumulate(is_cut[:, :depth], axis=1)
    return np.where(np.repeat(swapped, GENES_PER_LIV, axis=1), X[::-1], X)
