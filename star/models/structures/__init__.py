"""The modules of the structures, one file each, by the name they have in `star.genomes.STRUCTURES`.

A structure turns feature groups into T and applies it to V, plain or differential.
"""

from collections.abc import Mapping

from star.genomes import STRUCTURES, GenomeError, Structure

from ..featurizer import FormBuilder
from . import (
    channelwise_state,
    latent_attention,
    low_rank,
    matrix_state,
    negative_eigenvalues,
    ssd,
    state_space,
    toeplitz,
    ungated,
)
from .base import StructureBuilder, StructureParts
from .base import StructureModule as StructureModule
from .diagonal import Diagonal

_OURS = {
    "diagonal": StructureParts(Diagonal),
    "low-rank": StructureParts(low_rank.low_rank, low_rank.FORMS),
    "scaled Toeplitz": StructureParts(toeplitz.ScaledToeplitz, toeplitz.FORMS),
    "semi-separable": StructureParts(state_space.SemiSeparable, state_space.FORMS),
    "matrix-valued state": StructureParts(matrix_state.MatrixState, matrix_state.FORMS),
    "channel-wise state": StructureParts(
        channelwise_state.ChannelwiseState, channelwise_state.FORMS
    ),
    "negative eigenvalues": StructureParts(
        negative_eigenvalues.NegativeEigenvalues, negative_eigenvalues.FORMS
    ),
    "ungated": StructureParts(Diagonal, ungated.FORMS),
    "latent attention": StructureParts(latent_attention.LatentAttention, latent_attention.FORMS),
    "state-space dual": StructureParts(ssd.ScalarDecay, ssd.FORMS),
}
_PARTS = dict(_OURS)


def register_structure(
    name: str, module: StructureBuilder, forms: Mapping[str, FormBuilder] | None = None
) -> None:
    """Say how a structure is built that `star.genomes.register_structure` has entered.

    To register one again replaces its module, so that a file may be imported twice.

    Args:
        name: of the structure.
        module: a `StructureModule` class, or a function with the arguments of one.
        forms: the module of each form that only this structure has (`GroupModule`).

    Raises:
        GenomeError: there is no such structure, it is one of ours, or a form lacks its module.
    """
    if name not in STRUCTURES:
        raise GenomeError(f"structure {name!r} is unknown to star.genomes: register it there first")
    if name in _OURS:
        raise GenomeError(f"structure {name!r} is one of ours: give yours another name")
    lacking = set(STRUCTURES[name].forms) - set(forms or {})
    if lacking:
        raise GenomeError(f"structure {name!r}: form {min(lacking)!r} has no module")
    _PARTS[name] = StructureParts(module, forms or {})


def is_own(name: str) -> bool:
    """Whether a structure is a user's own."""
    return name not in _OURS


def parts_of(structure: Structure) -> StructureParts:
    """How a structure is built. Raises `GenomeError` where nobody has said it."""
    if structure.name not in _PARTS:
        raise GenomeError(
            f"structure {structure.name!r} has no module: star.models.register_structure names one"
        )
    return _PARTS[structure.name]
