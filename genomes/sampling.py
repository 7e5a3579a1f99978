"""One genome at a time: random valid genomes, repair of invalid ones, and the values a gene may
take.

`population.py` does the same for many genomes at once.
"""

import numpy as np

from .alphabets import Alphabet, get_alphabet
from .arrays import sample
from .genome import GeneArray, Genome
from .validity import GENES_PER_LIV, Repair, repair_livs, valid_gene_values


def random_genome(
    depth: int,
    rng: np.random.Generator,
    alphabet: str | Alphabet = "star",
    sharing_probability: float = 0.25,
) -> Genome:
    """A valid genome in canonical form; each kind of sharing is tried with `sharing_probability`.

    A genome first draws how many classes it may use (1 to depth) and which, then each LIV's class
    among them: uniform classes would almost never repeat one, and sharing acts within a class only.
    Group numbers are drawn from the lower half of 1..depth, so that groups of several members do
    occur; sharing that meets no partner is inert and vanishes in the canonical form.
    """
    letters = get_alphabet(alphabet)
    return Genome.from_genes(
        sample(1, depth, rng, letters, sharing_probability)[0].tolist(), letters
    )


def repair(
    genes: GeneArray, rng: np.random.Generator, alphabet: str | Alphabet = "star"
) -> tuple[Genome, list[Repair]]:
    """Resample each offending gene of an int64 array (depth * 5,); returns a valid genome and the
    changes."""
    letters = get_alphabet(alphabet)
    livs, repairs = repair_livs(Genome.from_array(genes, letters).livs, rng, letters)
    return Genome.from_genes(livs, letters), repairs


def valid_values(
    genes: GeneArray, liv: int, gene: int, alphabet: str | Alphabet = "star"
) -> GeneArray:
    """Values that `genes[liv * 5 + gene]` may take with all other genes as they are; int64,
    ascending."""
    livs = genes.reshape(-1, GENES_PER_LIV).tolist()
    return np.array(
        sorted(valid_gene_values(livs, liv, gene, get_alphabet(alphabet))), dtype=np.int64
    )
