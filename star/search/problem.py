"""The search space as a pymoo problem: integer vectors of shape (depth * 5,), evaluated outside by ask and tell."""

import numpy as np
from pymoo.core.problem import Problem

from star.genomes import GENES_PER_LIV, Alphabet, get_alphabet
from star.genomes.population import STRATEGIES


class GenomeProblem(Problem):
    """Bounds of every gene. One inequality constraint marks candidates that could not be evaluated."""

    def __init__(self, depth: int, objectives: int, alphabet: str | Alphabet = "star") -> None:
        self.alphabet = get_alphabet(alphabet)
        self.depth = depth
        largest = [max(self.alphabet.ids), depth, 2, depth, STRATEGIES - 1]
        self.largest = np.tile(np.array(largest, dtype=np.int64), depth)
        super().__init__(
            n_var=depth * GENES_PER_LIV,
            n_obj=objectives,
            n_ieq_constr=1,
            xl=np.ones(depth * GENES_PER_LIV, dtype=np.int64),
            xu=self.largest,
            vtype=int,
        )
