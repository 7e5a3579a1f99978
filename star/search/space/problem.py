"""The search space as a pymoo problem: integer vectors, evaluated outside by ask and tell.

A vector holds a whole backbone; or a motif, which is repeated to the wanted depth; or a backbone of
any depth between bounds, whose absent LIVs are zeros at the end. Behind the LIVs are the genes of
the backbone, where a search varies them.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pymoo.core.problem import Problem

from star.base.errors import UserError
from star.genomes import GENES_PER_LIV, Alphabet, Genome, ModelConfig, fit_depth, get_alphabet
from star.genomes.arrays import STRATEGIES
from star.genomes.backbone import Representatives, representatives
from star.genomes.genes import Genes
from star.genomes.widths import fits
from star.search.config import ONE_SHOT, SearchConfig
from star.search.space.backbones import BackboneValues
from star.search.space.depths import without_absent


@lru_cache(maxsize=16)
def _pool(alphabet: Alphabet, ids: frozenset[int]) -> Alphabet:
    classes = tuple(liv_class for liv_class in alphabet.classes if liv_class.id in ids)
    return Alphabet(alphabet.name, classes)


class GenomeProblem(Problem):
    """Bounds of every gene. One inequality constraint marks candidates that were not measured.

    Attributes:
        vector_depth: LIVs of a vector, absent ones included; of the motif where there is one.
        least_depth: LIVs that are never absent.
        full_depth: LIVs that a motif is repeated to, None without one.
        alphabet: classes that a genome may have.
        base: those that random genomes are made of.
        backbone: values of the genes of the backbone, none where they do not vary.
        left_out: names of classes of the alphabet that the sizes have no whole heads for.
    """

    def __init__(
        self,
        depth: int,
        objectives: int,
        alphabet: str | Alphabet = "star",
        motif: int | None = None,
        depths: Sequence[int] = (),
        base: Alphabet | None = None,
        backbone: Representatives | tuple[()] = (),
    ) -> None:
        """Set up the bounds.

        Args:
            depth: LIVs of what is evaluated, unless `depths` bound them.
            objectives: how many there are.
            alphabet: classes that a genome may have, or the name of them.
            motif: LIVs of a block that is repeated to the depth; None for whole backbones.
            depths: the least and the most LIVs, which then vary.
            base: classes of random genomes; None for all.
            backbone: of values of the genes of the backbone; empty where they do not vary.
        """
        self.alphabet = get_alphabet(alphabet)
        self.base = self.alphabet if base is None or base == self.alphabet else base
        self.least_depth, self.vector_depth = depths if depths else (motif or depth,) * 2
        self.full_depth = depth if motif is not None else None
        self.backbone = BackboneValues(backbone)
        self.left_out: list[str] = []  # classes that do not fit the sizes
        group = self.vector_depth
        # In the order of `GENE_NAMES`. pymoo's bounds are wider than what is valid: class ids have
        # gaps, and no class has all strategies.
        largest = [max(self.alphabet.ids), group, 2, group, STRATEGIES - 1]
        livs = np.tile(np.array(largest, dtype=np.int64), self.vector_depth)
        self.largest = np.concatenate([livs, self.backbone.most])
        smallest = np.ones_like(self.largest)
        smallest[self.least_depth * GENES_PER_LIV : len(livs)] = 0  # of LIVs that may be absent
        super().__init__(
            n_var=len(self.largest),
            n_obj=objectives,
            n_ieq_constr=1,
            xl=smallest,
            xu=self.largest,
            vtype=int,
        )

    @classmethod
    def from_config(
        cls,
        config: SearchConfig,
        depth: int,
        objectives: int,
        sizes: Sequence[ModelConfig] = (),
        model: ModelConfig | None = None,
    ) -> "GenomeProblem":
        """The problem of a search.

        Args:
            config: its settings.
            depth: of the baselines.
            objectives: how many there are.
            sizes: that every class must have whole heads at; those that have not are left out.
            model: sizes that genes of the backbone stand for; None is the usual ones.

        Raises:
            UserError: where no class is left.
        """
        space = config.space
        base, alphabet = space.base_alphabet(), config.alphabet()
        fitting = [c.name for c in alphabet.classes if all(fits(c, model) for model in sizes)]
        kept = [c.name for c in base.classes if c.name in fitting]
        if not kept:
            raise UserError(
                f"search.space.classes={space.classes}: none has whole heads at "
                f"model.width={sizes[0].width}; choose others, or another width"
            )
        depths = space.depths if space.mode == ONE_SHOT else [min(space.step, depth), depth]
        livs = depths or [depth]
        backbone = representatives(model or ModelConfig(), *livs) if space.backbone_genes else ()
        problem = cls(
            depth, objectives, alphabet.restricted(fitting), space.motif, depths,
            base.restricted(kept), backbone,
        )  # fmt: skip
        problem.left_out = [c.name for c in alphabet.classes if c.name not in fitting]
        return problem

    def notices(self, width: int) -> list[str]:
        """Which classes no design of the search has. width: of the models."""
        if not self.left_out:
            return []
        return [
            f"model.width={width}: no design has one of these classes, whose heads do not come out "
            f"whole there: {', '.join(self.left_out)}"
        ]

    @property
    def varies(self) -> bool:
        """Whether genomes have different depths."""
        return self.least_depth < self.vector_depth

    def pool(self, vectors: Genes) -> Alphabet:
        """Classes that a mutation of genes draws from.

        The base, and those that are present in vectors (individuals, n_var).
        """
        if self.base is self.alphabet:
            return self.alphabet
        present = np.unique(vectors[:, : self.vector_depth * GENES_PER_LIV : GENES_PER_LIV])
        return _pool(self.alphabet, frozenset(self.base.ids).union(present.tolist()))

    def architecture(self, genome: Genome) -> Genome:
        """What is evaluated for a genome of this search: itself, or what repeats it."""
        return genome if self.full_depth is None else fit_depth(genome, self.full_depth)

    def genome(self, vector: npt.NDArray) -> Genome:
        """What is evaluated for a vector. Raises `GenomeError` for one that is no array of
        genes."""
        return self.architecture(Genome.from_array(without_absent(vector), self.alphabet))

    def vector(self, genome: Genome) -> Genes:
        """A genome of at most `vector_depth` LIVs as int64 (n_var,). Raises `GenomeError` for one
        with genes of the backbone where they do not vary."""
        absent = self.vector_depth - genome.depth
        livs = np.pad(genome.liv_array(), ((0, absent), (0, 0)))
        return np.concatenate([livs.reshape(-1), self.backbone.of(genome)])
