"""The genes of the backbone in a search: two integers behind the LIVs of a vector, where
`search.space.backbone_genes` is on, and none otherwise.

Values that say the same at the sizes of a search are one value there, so that no architecture is in
the space twice.
"""

import numpy as np
import numpy.typing as npt

from star.genomes import GENES_PER_LIV, Backbone, Genome, GenomeError
from star.genomes.backbone import USUAL, Representatives
from star.genomes.genes import Genes

KEY = "search.space.backbone_genes"


def backbones_of(vectors: npt.NDArray) -> npt.NDArray:
    """What vectors (vectors, depth * 5 + 2) have of the backbone, (vectors, 2); (vectors, 0) of
    vectors that have none."""
    return vectors[:, vectors.shape[1] - vectors.shape[1] % GENES_PER_LIV :]


def with_backbones(livs: Genes, backbones: Genes) -> Genes:
    """Vectors of genes (vectors, depth, 5) and of genes of the backbone (vectors, 0 or 2)."""
    return np.concatenate([livs.reshape(len(livs), -1), backbones], axis=1)


class BackboneValues:
    """What the genes of the backbone may be in one search; nothing where it does not vary them."""

    def __init__(self, representatives: Representatives | tuple[()] = ()) -> None:
        """representatives: of all values of each gene; empty where they do not vary."""
        self._representatives = representatives
        self.values = [np.unique([*known.values()]) for known in representatives]

    @property
    def count(self) -> int:
        """Genes that a vector has of it: 2, or 0."""
        return len(self.values)

    @property
    def most(self) -> Genes:
        """(count,): the largest value of each gene."""
        return np.array([values[-1] for values in self.values], dtype=np.int64)

    def adopted(self, genome: Genome) -> Genome:
        """The genome with the values that stand for its own.

        Raises `GenomeError` for one with genes of the backbone where they do not vary.
        """
        if genome.backbone == USUAL:
            return genome
        if not self.count:
            raise GenomeError(
                f"it has genes of the backbone ({', '.join(genome.backbone.words())}), which this "
                f"search does not vary; {KEY}=true does"
            )
        pairs = zip(self._representatives, genome.check().backbone, strict=True)
        backbone = Backbone(*(known[gene] for known, gene in pairs))
        return Genome(genome.livs, genome.alphabet, backbone)

    def of(self, genome: Genome) -> Genes:
        """(count,): the genes of a genome; raises as `adopted`."""
        return np.array(self.adopted(genome).backbone[: self.count], dtype=np.int64)

    def sampled(self, count: int, rng: np.random.Generator) -> Genes:
        """Random genes (count, 0 or 2), of each all values alike."""
        columns = zip(self.values, rng.random((count, self.count)).T, strict=True)
        return self._at([(drawn * len(values)).astype(int) for values, drawn in columns], count)

    def mutated(self, genes: Genes, rate: float, rng: np.random.Generator) -> Genes:
        """Genes (individuals, 0 or 2), each of which took another value with a probability."""
        chosen, drawn = rng.random(genes.shape), rng.random(genes.shape)
        places = []
        for column, values in enumerate(self.values):
            # 1 to all but one further on, cyclically: any value but the present one.
            further = 1 + (drawn[:, column] * (len(values) - 1)).astype(int)
            present = np.searchsorted(values, genes[:, column])
            places.append((present + further) % len(values))
        return np.where(chosen < rate, self._at(places, len(genes)), genes)

    def repaired(self, genes: Genes, rng: np.random.Generator) -> Genes:
        """Genes (individuals, 0 or 2) with values of this search: those that stand for the present
        ones, or others at random where no value is such."""
        fixed = genes.copy()
        for column, values in enumerate(self.values):
            known = self._representatives[column]
            for row in np.flatnonzero(~np.isin(genes[:, column], values)):
                value = known.get(int(genes[row, column]))
                fixed[row, column] = rng.choice(values) if value is None else value
        return fixed

    def _at(self, places: list[Genes], count: int) -> Genes:
        """(count, genes): values by their places."""
        columns = [values[where] for values, where in zip(self.values, places, strict=True)]
        return np.array(columns, dtype=np.int64).reshape(self.count, count).T
