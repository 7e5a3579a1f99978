"""A mixture that was found, as a genome over its hybrid's letters."""

from collections.abc import Sequence

from star.genomes import Genome
from star.genomes.hybrids import FOUND, HybridAlphabet, Mixture

Rows = Sequence[Sequence[float]]  # (blocks, components)


def found_letters(alphabet: HybridAlphabet) -> list[int]:
    """The id of the letter `found` for each block, of a hybrid that has a mixture."""
    number = next(letter.id for letter in alphabet.classes if letter.name == FOUND)
    return [number] * alphabet.hybrid.blocks


def one_hot_letters(alphabet: HybridAlphabet, rows: Rows) -> list[int]:
    """For each block the letter of its heaviest component alone; of equal ones the first."""
    count = len(alphabet.hybrid.components)
    heaviest = [max(range(count), key=row.__getitem__) for row in rows]
    alone = [tuple(float(n == winner) for n in range(count)) for winner in heaviest]
    return nearest_letters(alphabet, alone)


def nearest_letters(alphabet: HybridAlphabet, rows: Rows) -> list[int]:
    """For each block the letter in whole parts that is nearest, by squared distance; of equally
    near ones the first."""
    letters = [one for one in alphabet.classes if isinstance(one, Mixture) and one.shares]

    def distance(letter: Mixture, row: Sequence[float]) -> float:
        own = letter.weights(alphabet.hybrid, 0)
        # Rounded, so that what is equally near on paper is so here.
        return round(sum((a - b) ** 2 for a, b in zip(own, row, strict=True)), 12)

    return [min(letters, key=lambda letter: distance(letter, row)).id for row in rows]


def genome_of(alphabet: HybridAlphabet, letters: Sequence[int]) -> Genome:
    """The genome with these letters, one a block."""
    return Genome.from_genes([[letter, 1, 1, 1, 1] for letter in letters], alphabet)
