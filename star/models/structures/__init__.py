"""The modules of the structures, one file each, by the name they have in `star.genomes.STRUCTURES`.

A structure turns feature groups into T and applies it to V, plain or differential.
"""

from collections.abc import Mapping

from star.genomes import STRUCTURES, GenomeError, Structure

from ..featurizer import FormBuilder
from . import matrix_state, ssd, state_space, toeplitz
from .base import StructureBuilder, StructureParts
from .base import StructureModule as StructureModule
from .diagonal import Diagonal
from .low_rank import low_rank

_OURS = {
    "diagonal": StructureParts(Diagonal),
    "low-rank": StructureParts(low_rank),
    "scaled Toeplitz": StructureParts(toeplitz.ScaledToeplitz, toeplitz.FORMS),
    "semi-separable": StructureParts(state_space.SemiSeparable, state_space.FORMS),
    "matrix-valued state": StructureParts(matrix_state.MatrixState, matrix_state.FORMS),
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
