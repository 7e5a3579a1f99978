"""Random valid genomes, one at a time; `arrays.sample` draws many."""

import numpy as np

from .alphabets import Alphabet, get_alphabet
from .arrays import sample
from .genome import Genome


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
