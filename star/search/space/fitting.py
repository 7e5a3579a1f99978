"""Keeps the genomes of a search within its static constraints, which are known before any training.

A genome above one is redrawn where it costs most: its dearest LIVs take random cheaper classes, or
go where the depth varies, until it fits. Where a few such redraws do not fit, the dearest LIVs
become the cheapest there is, one after the other, and last the norms the fewest. What still does
not fit stays as it was, and the search refuses it.
"""

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from textwrap import shorten

import numpy as np

from star.base.errors import UserError
from star.evaluation.constraints import Budget
from star.evaluation.objectives import OBJECTIVES
from star.genomes import NOT_SHARED, Alphabet, Backbone, Genome, GenomeError
from star.genomes.arrays import tables
from star.genomes.genes import AS_SIZES, CLASS, SHARED, Genes
from star.genomes.model_config import NORMS
from star.runs.names import composition
from star.search.space.backbones import backbones_of, with_backbones
from star.search.space.depths import (
    GROUP_NUMBERS,
    depths_of,
    fit_group_numbers,
    without_absent,
    without_gaps,
)
from star.search.space.ids import MOST_REMEMBERED, as_livs
from star.search.space.problem import GenomeProblem

REDRAWS = 4  # of a genome, before it takes the cheapest LIVs


class Fitting:
    """The static constraints of one search, in its space."""

    def __init__(self, problem: GenomeProblem, budget: Budget) -> None:
        self.problem, self.budget = problem, budget
        self.load = cache(self._load)
        self._known: dict[bytes, float | None] = {}  # excess by genes; None where not measurable

    def _load(self, liv_class: int) -> float:
        """What a LIV of a class costs alone, as shares of the limits; larger is dearer."""
        genome = Genome.from_genes([_unshared(liv_class)], self.problem.alphabet)
        try:
            return sum(self.budget.beyond(genome).values())
        except Exception:  # it cannot be measured
            return np.inf

    def _excess(self, vector: Genes, unmeasured: float = 0.0) -> float:
        """How far a vector (n_var,) is above the limits, 0 where it keeps them all.

        unmeasured: of what cannot be measured, which its evaluation will say.
        """
        key = vector.tobytes()
        if key not in self._known:
            if len(self._known) > MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = self._measured_excess(vector)
        known = self._known[key]
        return unmeasured if known is None else known

    def _measured_excess(self, vector: Genes) -> float | None:
        try:
            beyond = self.budget.beyond(self.problem.genome(vector))
        except Exception:  # of a user's objective, or a size that its classes cannot have
            return None
        return sum(max(share, 0.0) for share in beyond.values())

    def fits(self, vector: Genes) -> bool:
        """Whether a valid genome (n_var,) keeps the limits."""
        return self._excess(vector) == 0

    def fit(self, vectors: Genes, rng: np.random.Generator) -> Genes:
        """Valid genomes (genomes, n_var), those above the limits changed until they keep them."""
        fitted = vectors.copy()
        for row, vector in enumerate(vectors):
            if not self.fits(vector):
                fitted[row] = self._fitted(vector, rng)
        return fitted

    def fit_seeds(self, seeds: Sequence[Genome]) -> tuple[list[Genome], list[str]]:
        """Seeds within the limits, those above them changed, and notices about these; always the
        same ones for the same seeds."""
        fitted, notices, rng = dict[str, Genome](), list[str](), np.random.default_rng(0)
        for seed in seeds:
            genes = without_absent(self.fit(self.problem.vector(seed)[None], rng)[0])
            changed = Genome.from_array(genes, self.problem.alphabet).canonical()
            fitted.setdefault(changed.id, changed)
            if changed != seed:
                metrics = self.budget.static_metrics(self.problem.architecture(seed))
                words = [shorten(composition(genome), 80) for genome in (seed, changed)]
                notices.append(
                    f"seed {words[0]}: {self.budget.violated(metrics)}; it starts as {words[1]}"
                )
        return list(fitted.values()), notices

    def _fitted(self, vector: Genes, rng: np.random.Generator) -> Genes:
        """A genome (n_var,) after as few changes as fit, found by bisection: with more LIVs changed
        it is cheaper."""
        livs = as_livs(vector[None], self.problem.alphabet)[0]
        backbones = [backbones_of(vector[None])] * (REDRAWS + 1)
        if self.problem.backbone.count:  # once more, with the fewest norms
            backbones.append(self._fewest_norms(backbones[0]))
        for redraw, backbone in enumerate(backbones):
            changed = self._changes(livs, rng, cheapest=redraw >= REDRAWS)
            changes = [with_backbones(one[None], backbone)[0] for one in changed]
            if not changes or not self.fits(changes[-1]):
                continue
            low, high = 0, len(changes) - 1
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self.fits(changes[middle]) else (middle + 1, high)
            return changes[high]
        return vector

    def _fewest_norms(self, backbone: Genes) -> Genes:
        """Genes of a backbone (1, 2) with norms that have the fewest weights."""
        norms, model = self.problem.backbone.values[0], self.budget.recipe.model
        counts = [NORMS[Backbone(norms=int(gene)).sizes(model, 1).norms] for gene in norms]
        return np.array([[norms[int(np.argmin(counts))], backbone[0, 1]]])

    def _changes(self, livs: Genes, rng: np.random.Generator, cheapest: bool) -> Iterator[Genes]:
        """A genome (depth, 5) after one LIV was changed, after two, and so on, the dearest first.

        Args:
            livs: the genome.
            rng: draws the classes, and which LIVs go.
            cheapest: LIVs go as long as the depth allows, and then become the cheapest.
        """
        changed, problem = livs.copy(), self.problem
        depth = left = int(depths_of(livs[None])[0])
        loads = np.array([self.load(liv_class) for liv_class in livs[:depth, CLASS].tolist()])
        order = np.lexsort([rng.random(depth), -loads])
        last = _apart(self._cheapest, np.delete(livs[:depth], order[0], axis=0))
        for liv in order:
            cheaper = [number for number in problem.base.ids if self.load(number) < loads[liv]]
            if left > problem.least_depth and (cheapest or rng.random() < 0.5):
                changed[liv], left = 0, left - 1
            elif cheapest:
                changed[liv] = last
            elif cheaper:
                changed[liv] = _unshared(rng.choice(cheaper))
            else:
                continue
            varies = problem.varies  # absent LIVs are at the end, and numbers within the depth
            yield fit_group_numbers(without_gaps(changed[None]))[0] if varies else changed.copy()

    @cached_property
    def _cheapest(self) -> tuple[int, ...]:
        """Genes of which every LIV is in the genome of the least excess: those without sharing
        before others, then the cheapest class."""

        def order(liv: tuple[int, ...]) -> tuple[float, bool, float]:
            excess = self._excess(self._repeated(liv), np.inf)
            return excess, liv != _unshared(liv[0]), self.load(liv[0])

        return min(self._uniform(self.problem.base), key=order)

    @staticmethod
    def _uniform(alphabet: Alphabet) -> Iterator[tuple[int, ...]]:
        """Genes of LIVs that can stand in every place: each class, with each way of sharing."""
        table = tables(alphabet)
        for number in alphabet.ids:
            for tied in (NOT_SHARED, SHARED):
                for strategy in table.choices[number, : table.count[number]].tolist():
                    yield number, 1, tied, 1, strategy

    def _repeated(self, liv: tuple[int, ...], first: tuple[int, ...] | None = None) -> Genes:
        """The smallest vector (n_var,) of one LIV, or with another as its first, and the fewest
        norms."""
        livs = np.zeros((1, self.problem.vector_depth, len(liv)), dtype=np.int64)
        livs[0, : self.problem.least_depth] = liv
        livs[0, 0] = first or liv
        usual = np.full((1, self.problem.backbone.count), AS_SIZES)
        backbone = self._fewest_norms(usual) if usual.size else usual
        return with_backbones(livs, backbone)[0]

    @property
    def _repeated_depth(self) -> int:
        return self.problem.full_depth or self.problem.least_depth

    def least(self, name: str) -> dict[str, float]:
        """The least that an objective takes in any genome with a LIV of a class, by class name.

        It is that of a genome of this class alone, or of one such LIV and the cheapest others:
        costs are sums over LIVs, in which sharing within a class saves the same for each LIV but
        the first. Classes that do not fit the model's sizes are left out.
        """
        base = self.problem.base

        def cost(vector: Genes) -> float:
            try:
                return self.budget.static_metrics(self.problem.genome(vector))[name]
            except GenomeError:
                return np.inf

        alone = {liv: cost(self._repeated(liv)) for liv in self._uniform(base)}
        others = min(alone, key=lambda liv: alone[liv])
        least = {
            liv_class.name: min(
                cost(self._repeated(others, _unshared(liv_class.id))),
                *(value for liv, value in alone.items() if liv[0] == liv_class.id),
            )
            for liv_class in base.classes
        }
        return {key: value for key, value in least.items() if value < np.inf}

    def exclude(self) -> list[str]:
        """Leave classes that cannot fit out of what random genomes are made of; says which, a
        notice for each limit.

        Raises `UserError` when nothing fits.
        """
        notices = []
        for name in self.budget.static:
            if name not in OBJECTIVES:  # of a user's own: its costs may be no sums
                continue
            objective, limit = OBJECTIVES[name], self.budget.limits[name]
            least = self.least(name)
            above = {key: value for key, value in least.items() if value > limit}
            if least and len(above) == len(least):
                depth, smallest = self._repeated_depth, objective.shown(min(least.values()))
                raise UserError(
                    f"constraints.{name}={objective.shown(limit)}: no design of {depth} LIVs fits, "
                    f"the smallest takes {smallest}; raise it, or lower the model's sizes"
                )
            if above:
                listed = ", ".join(f"{key} {objective.shown(v)}" for key, v in above.items())
                notices.append(
                    f"constraints.{name}={objective.shown(limit)}: no design with one of these "
                    f"classes fits, so none is proposed (the least it takes): {listed}"
                )
                kept = [c.name for c in self.problem.base.classes if c.name not in above]
                self.problem.base = self.problem.base.restricted(kept)
        return notices


def _unshared(liv_class: int) -> tuple[int, ...]:
    return int(liv_class), 1, NOT_SHARED, 1, NOT_SHARED


def _apart(liv: tuple[int, ...], others: Genes) -> Genes:
    """The LIV in the first groups of its class that none of the others (depth, 5) is in: those may
    share by another strategy."""
    moved, own = np.array(liv), others[others[:, CLASS] == liv[CLASS]]
    for gene in GROUP_NUMBERS:
        moved[gene] = min({*range(1, len(others) + 2)} - set(own[:, gene].tolist()))
    return moved
