"""Variation of genomes as pymoo operators: sampling, crossover, mutation, repair, duplicate elimination.

Each works with any pymoo genetic algorithm on a `GenomeProblem`, on whole populations at once. All draw from the
algorithm's own generator. Crossover, mutation and repair hold what their latest call did in `last`, by row of the
population that the call returned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from star.genomes import GENES_PER_LIV, NOT_SHARED, Alphabet, Genome, get_alphabet
from star.genomes import population as genomes
from star.search.problem import GenomeProblem

Matrix = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

CLASS, FEATURIZER_GROUP, FEATURIZER_SHARING, FEATURE_GROUP, STRATEGY = range(5)
NO_CUT = -1
MOST_REMEMBERED = 20_000  # genomes whose ids are kept; at depth 24 about 20 MB


@dataclass(frozen=True)
class GeneChanges:
    """Genes that an operator changed, an entry each, by row, then position: int64 arrays of equal length.

    row: of the population that the operator returned. liv, gene: from 0. old, new: the gene's value before and after.
    """

    row: Matrix
    liv: Matrix
    gene: Matrix
    old: Matrix
    new: Matrix

    @classmethod
    def between(cls, before: Matrix, after: Matrix) -> "GeneChanges":
        """What differs between two populations, int64 (individuals, depth * 5)."""
        row, position = np.nonzero(before != after)
        return cls(row, *np.divmod(position, GENES_PER_LIV), before[row, position], after[row, position])


def _as_livs(X: Matrix, alphabet: Alphabet) -> Matrix:
    """Genes (individuals, depth, 5). Raises `GenomeError` unless they are integers."""
    if X.dtype.kind not in "iu":
        Genome.from_array(X[0], alphabet)
    return X.reshape(len(X), -1, GENES_PER_LIV)


@lru_cache(maxsize=4)
def _known_ids(alphabet: Alphabet) -> dict[bytes, str]:
    """Genome ids by genes: crossover and the elimination of duplicates look at the same individuals many times."""
    return {}


def _ids(individuals: Iterable[Individual], alphabet: Alphabet) -> list[str]:
    """Ids of genomes. Raises `GenomeError` for the first that is not valid."""
    rows = [individual.X for individual in individuals]
    keys = [row.tobytes() for row in rows]
    known = _known_ids(alphabet)
    if len(known) > MOST_REMEMBERED:
        known.clear()
    unknown = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
    if unknown:
        livs = _as_livs(np.stack(list(unknown.values())), alphabet)
        for genes in livs[~genomes.valid(livs, alphabet)]:
            Genome.from_array(genes.reshape(-1), alphabet).check()
        known.update(zip(unknown, genomes.ids(genomes.canonical(livs, alphabet), alphabet), strict=True))
    return [known[key] for key in keys]


class GenomeSampling(Sampling):
    """Seeds first, then random valid genomes, all different; fewer only when the space has no more."""

    def __init__(self, seeds: Sequence[Genome] = (), sharing_probability: float = 0.25) -> None:
        super().__init__()
        self.seeds = list(seeds)
        self.sharing_probability = sharing_probability

    def _do(  # type: ignore[override]
        self,
        problem: GenomeProblem,
        n_samples: int,
        *args: Any,
        random_state: np.random.Generator,
        **kwargs: Any,
    ) -> Matrix:
        """int64 (at most n_samples, depth * 5)."""
        chosen = {seed.canonical().to_array().tobytes(): seed.to_array() for seed in self.seeds}
        for _ in range(100):
            if len(chosen) >= n_samples:
                break
            livs = genomes.sample(n_samples, problem.depth, random_state, problem.alphabet, self.sharing_probability)
            for row in livs.reshape(n_samples, -1):
                chosen.setdefault(row.tobytes(), row)
        return np.stack(list(chosen.values())[:n_samples])


class LivCrossover(Crossover):
    """k-point crossover whose cuts lie between LIVs; records each child's parents as genome ids.

    last: int64 (children, k), the cuts of each child's mating in ascending order: a cut c lies before LIV c. `NO_CUT`
    throughout where the child equals its parent.
    """

    def __init__(self, points: int = 2, prob: float = 0.9) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=prob)
        self.points = points
        self.last: Matrix | None = None

    def do(self, problem: GenomeProblem, pop: Any, parents: Any = None, *args: Any, **kwargs: Any) -> Population:
        """Cross the mated parents; children carry `parents`, the ids of both."""
        matings = pop if parents is None else [pop[mating] for mating in parents]
        self.last = np.full((2 * len(matings), min(self.points, problem.depth - 1)), NO_CUT)
        children = super().do(problem, pop, parents, *args, **kwargs)
        firsts, seconds = ([mating[number] for mating in matings] for number in range(2))
        unchanged = (children.get("X") == np.stack([parent.X for parent in firsts + seconds])).all(axis=1)
        self.last[unchanged] = NO_CUT
        ids = list(zip(_ids(firsts, problem.alphabet), _ids(seconds, problem.alphabet), strict=True))
        for child, pair in zip(children, ids + ids, strict=True):
            child.set("parents", list(pair))
        return children

    def _do(  # type: ignore[override]
        self, problem: GenomeProblem, X: Matrix, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Matrix:
        """X and the result: int64 (2, matings, depth * 5)."""
        depth, matings = problem.depth, X.shape[1]
        order = random_state.random((matings, depth - 1)).argsort(axis=1)
        cuts = 1 + np.sort(order[:, : self.points], axis=1)
        self.last = np.tile(cuts, (2, 1))
        is_cut = np.zeros((matings, depth), dtype=bool)
        np.put_along_axis(is_cut, cuts, True, axis=1)
        swapped = np.logical_xor.accumulate(is_cut, axis=1)
        return np.where(np.repeat(swapped, GENES_PER_LIV, axis=1), X[::-1], X)


class GeneMutation(Mutation):
    """Each gene changes with probability `rate`, drawn from the values valid there, or from its whole range.

    Constrained mutation of a valid genome stays valid; genes of an invalid one are drawn from their whole ranges. With
    `constrained=False` the result may need repair. last: the genes that were changed.
    """

    def __init__(self, rate: float = 0.1, constrained: bool = True) -> None:
        super().__init__()
        self.rate = rate
        self.constrained = constrained
        self.last: GeneChanges | None = None

    def _do(
        self, problem: GenomeProblem, X: Matrix, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Matrix:
        """X and the result: int64 (individuals, depth * 5)."""
        livs = _as_livs(X, problem.alphabet).copy()
        chosen = random_state.random(livs.shape) < self.rate
        bound = genomes.valid(livs, problem.alphabet) if self.constrained else np.zeros(len(livs), dtype=bool)
        for rows, mutate in ((bound, _mutate_constrained), (~bound, _mutate_freely)):
            if rows.any():
                livs[rows] = mutate(livs[rows], chosen[rows], random_state, problem.alphabet)
        mutated = livs.reshape(X.shape)
        self.last = GeneChanges.between(X, mutated)
        return mutated


class GenomeRepair(Repair):
    """Resample offending genes. `repaired_genes` and `repaired_genomes` count what was done, of `seen` genomes.

    last: the genes that were changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = self.repaired_genomes = self.repaired_genes = 0
        self.last: GeneChanges | None = None

    def _do(self, problem: GenomeProblem, X: Matrix, **kwargs: Any) -> Matrix:
        """X and the result: int64 (individuals, depth * 5); the result is valid."""
        livs, changed = genomes.repair(_as_livs(X, problem.alphabet), kwargs["random_state"], problem.alphabet)
        fixed = livs.reshape(X.shape)
        self.last = GeneChanges.between(X, fixed)
        self.seen += len(X)
        self.repaired_genomes += int(changed.any(axis=(1, 2)).sum())
        self.repaired_genes += int(changed.sum())
        return fixed


class CanonicalDuplicates(DuplicateElimination):
    """Drops individuals whose canonical form is among the others, or was proposed earlier in this search.

    proposed: ids of the genomes proposed earlier.
    """

    def __init__(self, alphabet: str | Alphabet = "star") -> None:
        super().__init__()
        self.alphabet = get_alphabet(alphabet)
        self.proposed: set[str] = set()

    def _do(self, pop: Population, other: Population | None, is_duplicate: Booleans) -> Any:
        known = set() if other is None else set(_ids(other, self.alphabet))
        for index, genome_id in enumerate(_ids(pop, self.alphabet)):
            is_duplicate[index] = genome_id in known or genome_id in self.proposed
            if other is None:
                known.add(genome_id)
        return is_duplicate


def _another(present: Matrix, highest: int | Matrix, rng: np.random.Generator) -> Matrix:
    """Values from 1 to highest, uniformly among those other than the present ones, which stay if there is no other."""
    inside = (present >= 1) & (present <= highest)
    drawn = 1 + (rng.random(present.shape) * (highest - inside)).astype(np.int64)
    drawn += inside & (drawn >= present)
    return np.where(drawn <= highest, drawn, present)


def _mutate_freely(genes: Matrix, chosen: Booleans, rng: np.random.Generator, alphabet: Alphabet) -> Matrix:
    """Every gene chosen (genomes, depth, 5) takes another value of its whole range; the result may be invalid."""
    table, depth = genomes.tables(alphabet), genes.shape[1]
    highest = np.array([len(table.ids), depth, 2, depth, genomes.STRATEGIES - 1])
    mutated = genes.copy()
    genome, liv, gene = np.nonzero(chosen)
    present, is_class = mutated[genome, liv, gene], gene == CLASS
    known = is_class & (present > 0) & (present < len(table.place))
    place = np.where(known, table.place[np.where(known, present, 0)], 0)
    drawn = _another(np.where(is_class, place, present), highest[gene], rng)
    mutated[genome, liv, gene] = np.where(is_class, table.ids[np.where(is_class, drawn, 1) - 1], drawn)
    return mutated


def _mutate_constrained(genes: Matrix, chosen: Booleans, rng: np.random.Generator, alphabet: Alphabet) -> Matrix:
    """Chosen genes of valid genomes change one after the other, each to another value that is valid with all others as
    they are by then; a gene with one valid value stays. What is valid is `valid_gene_values`, written for arrays."""
    table, depth = genomes.tables(alphabet), genes.shape[1]
    mutated = genes.copy()
    for gene, highest in ((FEATURIZER_GROUP, depth), (FEATURIZER_SHARING, 2)):  # always valid, whatever the others are
        here = chosen[:, :, gene]
        mutated[here, gene] = _another(genes[here, gene], highest, rng)
    planes = {gene: np.ascontiguousarray(mutated[:, :, gene]) for gene in _ALLOWED}
    for liv in range(depth):
        for gene, allowed in _ALLOWED.items():
            rows = np.flatnonzero(chosen[:, liv, gene])
            if len(rows):
                classes, number, strategy = (plane[rows] for plane in planes.values())
                values = allowed(classes, number, strategy, liv, table)
                planes[gene][rows, liv] = _draw_another(values, planes[gene][rows, liv], rng)
    for gene, plane in planes.items():
        mutated[:, :, gene] = plane
    return mutated


def _draw_another(allowed: Booleans, present: Matrix, rng: np.random.Generator) -> Matrix:
    """A column of allowed (genomes, values) where it is true, uniformly but for the present one; it, if no other is."""
    allowed[np.arange(len(present)), present] = False
    ranks = allowed.cumsum(axis=1)
    count = ranks[:, -1]
    drawn = 1 + (rng.random(len(count)) * count).astype(np.int64)
    return np.where(count > 0, (ranks >= drawn[:, None]).argmax(axis=1), present)


def _conflicts(same: Booleans, strategy: Matrix, liv: int) -> Booleans:
    """(genomes, depth): LIVs, of those marked, that share features by another strategy than `liv` shares by."""
    own = strategy[:, liv, None]
    return same & (strategy != own) & (strategy != NOT_SHARED) & (own != NOT_SHARED)


def _allowed_classes(classes: Matrix, number: Matrix, strategy: Matrix, liv: int, table: genomes.Tables) -> Booleans:
    """(genomes, ids): classes that have the LIV's strategy, and whose group of its number shares by no other."""
    allowed = table.strategies[:, strategy[:, liv]].T.copy()
    genome, other = np.nonzero(_conflicts(number == number[:, liv, None], strategy, liv))
    allowed[genome, classes[genome, other]] = False
    return allowed


def _allowed_groups(classes: Matrix, number: Matrix, strategy: Matrix, liv: int, table: genomes.Tables) -> Booleans:
    """(genomes, depth + 1): feature groups of the LIV's class that share by no other strategy."""
    allowed = np.ones((len(number), number.shape[1] + 1), dtype=bool)
    allowed[:, 0] = False
    genome, other = np.nonzero(_conflicts(classes == classes[:, liv, None], strategy, liv))
    allowed[genome, number[genome, other]] = False
    return allowed


def _allowed_strategies(classes: Matrix, number: Matrix, strategy: Matrix, liv: int, table: genomes.Tables) -> Booleans:
    """(genomes, strategies): strategy 1 and that of the LIV's group, or all of its class where the group has none."""
    partners = (classes == classes[:, liv, None]) & (number == number[:, liv, None]) & (strategy != NOT_SHARED)
    partners[:, liv] = False
    agreed = (strategy * partners).max(axis=1)[:, None]
    columns = np.arange(genomes.STRATEGIES)
    return table.strategies[classes[:, liv]] & ((agreed == 0) | (columns == agreed) | (columns == NOT_SHARED))


_ALLOWED = {CLASS: _allowed_classes, FEATURE_GROUP: _allowed_groups, STRATEGY: _allowed_strategies}
