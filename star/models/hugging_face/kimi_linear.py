"""Kimi Linear: Kimi Delta Attention."""

from typing import Any

from .weights import Weights, convolutions, projections


def delta_attention_weights(theirs: Any) -> Weights:
    """Weights of a `KimiLinearDeltaAttention`, for class KDA."""
    inner, gate = theirs.qkv_dim, theirs.forget_gate
    groups = {"C": theirs.q_proj.weight, "B": theirs.k_proj.weight, "V": theirs.v_proj.weight}
    return {
        **projections(theirs.o_proj, **groups),
        **convolutions(theirs.conv1d.weight, None, C=inner, B=inner, V=inner),
        "featurizer.groups.G.0.projection.down.weight": theirs.g_a_proj.weight,
        "featurizer.groups.G.0.projection.up.weight": theirs.g_b_proj.weight,
        "featurizer.groups.A.0.step.down.weight": gate.f_a_proj.weight,
        "featurizer.groups.A.0.step.up.weight": gate.f_b_proj.weight,
        "featurizer.groups.A.0.step_bias": gate.dt_bias,
        "featurizer.groups.A.0.log_rate": gate.A_log.flatten(),
        "featurizer.groups.A.0.beta.weight": theirs.b_proj.weight,
        "structure.norm": theirs.o_norm.weight,
    }
