"""Random valid genomes, repair of invalid ones, and the values a gene may take."""

import numpy as np

from .alphabets import Alphabet, get_alphabet
from .genome import GeneArray, Genome
from .validity import GENES_PER_LIV, NOT_SHARED, Repair, repair_livs, valid_gene_values


def random_genome(
    depth: int,
    rng: np.random.Generator,
    alphabet: str | Alphabet = "star",
    sharing_probability: float = 0.25,
) -> Genome:
    """A valid genome in canonical form; each kind of sharing is tried with `sharing_probability`.

    A genome first draws how many classes it may use (1 to depth) and which, then each LIV's class among them:
    uniform classes would almost never repeat one, and sharing acts within a class only. Group numbers are drawn from
    the lower half of 1..depth, so that groups of several members do occur; sharing that meets no partner is inert
    and vanishes in the canonical form.
    """
    letters = get_alphabet(alphabet)
    highest = max(1, depth // 2)
    livs = np.empty((depth, GENES_PER_LIV), dtype=np.int64)
    palette = rng.choice(letters.ids, size=int(rng.integers(1, depth + 1)))
    livs[:, 0] = rng.choice(palette, size=depth)
    livs[:, 1::2] = rng.integers(1, highest + 1, size=(depth, 2))
    livs[:, 2::2] = np.where(rng.random((depth, 2)) < sharing_probability, 2, NOT_SHARED)
    for liv in livs:
        strategies = list(letters.by_id[int(liv[0])].operator.structure.sharing)
        if liv[4] != NOT_SHARED:
            liv[4] = rng.choice(strategies)
    return repair(livs.reshape(-1), rng, letters)[0].canonical()


def repair(
    genes: GeneArray, rng: np.random.Generator, alphabet: str | Alphabet = "star"
) -> tuple[Genome, list[Repair]]:
    """Resample each offending gene of an int64 array (depth * 5,); returns a valid genome and the changes."""
    letters = get_alphabet(alphabet)
    livs, repairs = repair_livs(Genome.from_array(genes, letters).livs, rng, letters)
    return Genome.from_genes(livs, letters), repairs


def valid_values(genes: GeneArray, liv: int, gene: int, alphabet: str | Alphabet = "star") -> GeneArray:
    """Values that `genes[liv * 5 + gene]` may take with all other genes as they are; int64, ascending."""
    livs = genes.reshape(-1, GENES_PER_LIV).tolist()
    return np.array(sorted(valid_gene_values(livs, liv, gene, get_alphabet(alphabet))), dtype=np.int64)
