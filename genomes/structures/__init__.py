"""The structures of the search space, one file each, entered into the table by name.

A new operator is one more file here, one in `star.models.structures`, a row of `class_table.py`,
and a kernel where it needs one.
"""

from ..operators import register_structure
from . import (
    channelwise_state,
    diagonal,
    latent_attention,
    low_rank,
    matrix_state,
    negative_eigenvalues,
    ssd,
    state_space,
    toeplitz,
    ungated,
)

for _structure in (
    diagonal.STRUCTURE,
    low_rank.STRUCTURE,
    toeplitz.STRUCTURE,
    state_space.STRUCTURE,
    matrix_state.STRUCTURE,
    negative_eigenvalues.STRUCTURE,
    ssd.STRUCTURE,
    channelwise_state.STRUCTURE,
    latent_attention.STRUCTURE,
    ungated.STRUCTURE,
):
    register_structure(_structure)
