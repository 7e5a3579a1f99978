"""The two genes of a whole backbone: where norms stand, and how much each LIV adds.

Both are sizes of a model too (`ModelConfig.norms`, `residual_scale`), and gene 1 leaves them as the
sizes say. A genome of which both are 1 is written without them, as all were before there were any.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .genes import AS_SIZES, BACKBONE_GENE_NAMES
from .model_config import ModelConfig

# What each gene stands for: `ModelConfig.norms`, and `residual_scale` at a depth in LIVs.
NORMS_OF_GENE: Mapping[int, str] = {2: "pre", 3: "post", 4: "sandwich"}
SCALE_OF_GENE: Mapping[int, Callable[[int], float]] = {
    2: lambda depth: 1.0,
    3: lambda depth: depth**-0.5,
    4: lambda depth: 2**-0.5,
}
VALUES = ((AS_SIZES, *NORMS_OF_GENE), (AS_SIZES, *SCALE_OF_GENE))  # of each gene
SCALE_WORDS: Mapping[int, str] = {2: "1", 3: "1/sqrt(depth)", 4: "1/sqrt(2)"}
WORDS: Mapping[str, Mapping[int, str]] = dict(
    zip(BACKBONE_GENE_NAMES, (NORMS_OF_GENE, SCALE_WORDS), strict=True)
)

Representatives = tuple[Mapping[int, int], Mapping[int, int]]


class Backbone(NamedTuple):
    """The two genes, named as in `BACKBONE_GENE_NAMES`."""

    norms: int = AS_SIZES
    residual_scale: int = AS_SIZES

    def sizes(self, model: ModelConfig, depth: int) -> ModelConfig:
        """The sizes with what the genes say (valid genes only). depth: LIVs of the backbone."""
        said: dict[str, Any] = {}
        if self.norms != AS_SIZES:
            said["norms"] = NORMS_OF_GENE[self.norms]
        if self.residual_scale != AS_SIZES:
            said["residual_scale"] = SCALE_OF_GENE[self.residual_scale](depth)
        return replace(model, **said) if said else model

    def words(self) -> list[str]:
        """What the genes say that are not 1: `norms sandwich`, `residual_scale 1/sqrt(2)`."""
        genes = self._asdict().items()
        return [f"{name} {gene_words(name, gene)}" for name, gene in genes if gene != AS_SIZES]

    def short(self) -> str:
        """The same as short as it can be: `sandwich`, `x1/sqrt(2)`, `sandwich x1/sqrt(2)`."""
        norms, scale = NORMS_OF_GENE.get(self.norms), SCALE_WORDS.get(self.residual_scale)
        return " ".join([*([norms] if norms else []), *([f"x{scale}"] if scale else [])])


USUAL = Backbone()  # as the sizes say, and not written


def gene_words(name: str, gene: int) -> str:
    """What a value of a gene says, such as `sandwich`; an invalid one is its number.

    name: one of `BACKBONE_GENE_NAMES`.
    """
    return "as the sizes say" if gene == AS_SIZES else WORDS[name].get(gene, str(gene))


def representatives(model: ModelConfig, *depths: int) -> Representatives:
    """For each gene the smallest value that says the same as a value, by that value.

    With `model.norms=pre` gene 2 says what 1 does: 1 1 3 4 of 1 2 3 4.

    Args:
        model: sizes that gene 1 stands for.
        depths: LIVs of the backbone; where they vary the least and the most, at both of which two
            values must say the same.
    """
    scales = {gene: tuple(map(scale, depths)) for gene, scale in SCALE_OF_GENE.items()}
    usual = (model.residual_scale,) * len(depths)
    return _first(NORMS_OF_GENE, model.norms), _first(scales, usual)


def _first(said: Mapping[int, Any], usual: Any) -> dict[int, int]:
    known = {usual: AS_SIZES}
    return {AS_SIZES: AS_SIZES} | {
        gene: known.setdefault(value, gene) for gene, value in said.items()
    }
