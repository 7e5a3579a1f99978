"""Mutations of several kinds, one after the other or one instead of another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from star.search.space.problem import GenomeProblem
from star.search.variation.gene_mutation import GeneMutation


class MutationChain(Mutation):
    """Applies mutations of other kinds first, in their order, and then the mutation of the genes.

    `rate` is that of the genes, so that an algorithm may set it without knowing of the chain.
    """

    def __init__(
        self,
        others: Sequence[Mutation],
        genes: GeneMutation,
        instead: Mutation | None = None,
        instead_probability: float = 0.0,
    ) -> None:
        """Put the mutations together.

        Args:
            others: come first; an individual may be mutated by each of them.
            genes: comes last.
            instead: takes the place of `genes` for some of the individuals; None for nobody.
            instead_probability: that an individual is one of those.
        """
        super().__init__()
        self.others, self.genes = list(others), genes
        self.instead, self.instead_probability = instead, instead_probability

    @property
    def rate(self) -> float:
        """Probability that a gene changes."""
        return self.genes.rate

    @rate.setter
    def rate(self, value: float) -> None:
        self.genes.rate = value

    def do(self, problem: GenomeProblem, pop: Population, *args: Any, **kwargs: Any) -> Population:
        """Apply them to the individuals."""
        for mutation in self.others:
            pop = mutation.do(problem, pop, *args, **kwargs)
        if self.instead is None:
            return self.genes.do(problem, pop, *args, **kwargs)
        chosen = kwargs["random_state"].random(len(pop)) < self.instead_probability
        mutated = list(pop)
        for mutation, rows in (
            (self.instead, np.flatnonzero(chosen)),
            (self.genes, np.flatnonzero(~chosen)),
        ):
            if len(rows):
                results = mutation.do(problem, Population.create(*pop[rows]), *args, **kwargs)
                for row, individual in zip(rows, results, strict=True):
                    mutated[row] = individual
        return Population.create(*mutated)
