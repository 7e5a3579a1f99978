"""Numbers that describe an architecture, for models that predict how well it trains.

They are those of the canonical form, so that equal architectures are equal; nothing is trained or
built for them. `Features` says what they are, column by column.
"""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from star.genomes import Alphabet, CacheSetting, Genome, ModelConfig, cache_bytes, parameter_count
from star.genomes.backbone import USUAL
from star.genomes.model_config import NORMS

Matrix = npt.NDArray[np.float64]

SHARING = ("borrowing_livs", "borrowed_groups", "tied_groups", "sharing_distance")
COSTS = ("log_parameters", "log_cache_bytes")
RESIDUAL = "residual_scale"


class Features:
    """What architectures of one search are described by.

    The columns, in their order:

    - `depth`, the number of LIVs
    - `<class>`, how many LIVs of each class there are
    - `<family>`, the same for each structure (low-rank, semi-separable, ...), and `differential`
    - `<class>@<position>`, 1 where the LIV at that position, from 0, is of that class
    - `<family>><family>`, how often a LIV of the second follows directly on one of the first
    - `borrowing_livs`, those that take features of another; `borrowed_groups` and `tied_groups`,
      feature groups whose features or weights are another LIV's; `sharing_distance`, the mean
      distance between such a LIV and the owner, in LIVs
    - `log_parameters` and `log_cache_bytes`, natural logarithms of the costs plus one
    - where a search varies the genes of the backbone, `norms=<place>`, 1 where its norms stand
      there, and `residual_scale`, the factor of what its LIVs add
    """

    def __init__(
        self,
        alphabet: Alphabet,
        depth: int,
        model: ModelConfig,
        cache: CacheSetting,
        has_backbone: bool = False,
    ) -> None:
        """Lay out the columns.

        Args:
            alphabet: whose classes the architectures have.
            depth: the most LIVs of one.
            model: sizes that costs are counted at.
            cache: what the cache is counted for.
            has_backbone: whether the genes of the backbone vary.
        """
        self.has_backbone = has_backbone
        self.model, self.cache, self.depth = model, cache, depth
        classes = [liv_class.name for liv_class in alphabet.classes]
        structures = {liv_class.operator.structure.name for liv_class in alphabet.classes}
        families = sorted(structures)
        self.names = (
            "depth",
            *classes,
            *families,
            "differential",
            *(f"{name}@{position}" for position in range(depth) for name in classes),
            *(f"{first}>{second}" for first, second in product(families, families)),
            *SHARING,
            *COSTS,
            *((*map(_norms_column, NORMS), RESIDUAL) if has_backbone else ()),
        )
        self._columns = {name: column for column, name in enumerate(self.names)}

    def covers(self, genome: Genome) -> bool:
        """Whether it is of the search's space: baselines may be deeper, and have other classes or
        genes of the backbone."""
        names = {liv_class.name for liv_class in genome.classes()}
        if genome.backbone != USUAL and not self.has_backbone:
            return False
        return genome.depth <= self.depth and names <= self._columns.keys()

    def matrix(self, genomes: Sequence[Genome]) -> Matrix:
        """(genomes, columns). Raises `GenomeError` for a genome that is invalid or does not fit the
        model's sizes."""
        rows = np.zeros((len(genomes), len(self.names)))
        for row, genome in zip(rows, genomes, strict=True):
            for name, value in self._of(genome.canonical()):
                row[self._columns[name]] += value
        return rows

    def _of(self, genome: Genome) -> list[tuple[str, float]]:
        """Names with what is added to them."""
        classes = genome.classes()
        families = [liv_class.operator.structure.name for liv_class in classes]
        found = [("depth", float(genome.depth))]
        for position, (liv_class, family) in enumerate(zip(classes, families, strict=True)):
            names = (liv_class.name, family, f"{liv_class.name}@{position}")
            found += [(name, 1.0) for name in names]
            found.append(("differential", float(liv_class.differential)))
        found += [(f"{first}>{second}", 1.0) for first, second in pairwise(families)]
        parameters = parameter_count(genome, self.model).non_embedding
        nbytes = cache_bytes(genome, self.model, self.cache)
        costs = zip(COSTS, np.log1p([parameters, nbytes]).tolist(), strict=True)
        return [*found, *_sharing(genome), *costs, *self._backbone(genome)]

    def _backbone(self, genome: Genome) -> list[tuple[str, float]]:
        """What the genes of the backbone say at the model's sizes."""
        if not self.has_backbone:
            return []
        sizes = genome.sizes(self.model)
        return [(_norms_column(sizes.norms), 1.0), (RESIDUAL, sizes.residual_scale)]


def _norms_column(norms: str) -> str:
    return f"norms={norms}"


def _sharing(genome: Genome) -> list[tuple[str, float]]:
    """What the LIVs take from each other."""
    distances: list[int] = []
    borrowing = borrowed = tied = 0
    for index, sharing in enumerate(genome.sharing):
        owners = [owner for owner in sharing.weight_owner.values() if owner != index]
        borrowing += bool(sharing.borrowed)
        borrowed += len(sharing.borrowed)
        tied += len(owners)
        distances += [index - sharing.feature_owner] * bool(sharing.borrowed)
        distances += [index - owner for owner in owners]
    mean = float(np.mean(distances)) if distances else 0.0
    return list(zip(SHARING, (float(borrowing), float(borrowed), float(tied), mean), strict=True))
