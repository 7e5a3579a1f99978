"""Qwen3-Next: gated delta rule."""

from typing import Any

from .weights import Weights, convolutions, projections


def gated_delta_weights(theirs: Any) -> Weights:
    """Weights of a `Qwen3NextGatedDeltaNet` with as many key as value heads, for class GatedDelta.

    Theirs keeps queries, keys, values and gate of a head side by side; the convolution has all
    queries first.
    """
    heads, head_width = theirs.num_v_heads, theirs.head_v_dim
    inner = heads * head_width
    by_head = theirs.in_proj_qkvz.weight.unflatten(0, (heads, 4, head_width))
    inputs = {name: by_head[:, n].flatten(0, 1) for n, name in enumerate("CBVG")}
    beta, step = theirs.in_proj_ba.weight.unflatten(0, (heads, 2)).unbind(1)
    return {
        **projections(theirs.out_proj, **inputs),
        **convolutions(theirs.conv1d.weight, None, C=inner, B=inner, V=inner),
        "featurizer.groups.A.0.beta.weight": beta,
        "featurizer.groups.A.0.step.weight": step,
        "featurizer.groups.A.0.step.bias": theirs.dt_bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.norm": theirs.norm.weight,
    }
