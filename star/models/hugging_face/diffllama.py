"""DiffLlama: differential attention."""

from typing import Any

import torch

from .weights import Weights, projections


def halves_to_pairs(weight: torch.Tensor, head_width: int) -> torch.Tensor:
    """Rows (half, head, channel) of theirs to (head, half, channel): heads h and h + H/2 become one
    head of ours."""
    return weight.unflatten(0, (2, -1, head_width)).transpose(0, 1).flatten(0, 2)


def attention_weights(theirs: Any) -> Weights:
    """Weights of a `DiffLlamaAttention`, for classes SA-1-Diff, SA-3-Diff and SA-4-Diff."""
    inputs = {"C": theirs.q_proj, "B": theirs.k_proj, "V": theirs.v_proj}
    paired = {
        name: halves_to_pairs(layer.weight, theirs.head_dim) for name, layer in inputs.items()
    }
    vectors = (theirs.lambda_q1, theirs.lambda_k1, theirs.lambda_q2, theirs.lambda_k2)
    return {
        **projections(theirs.o_proj, **paired),
        "structure.differential_weight.vectors": torch.stack(vectors),
    }
