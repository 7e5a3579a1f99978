"""Mamba-2: state-space dual heads."""

from typing import Any

from torch import nn

from ..language_model import LanguageModel
from .weights import Weights, convolutions, copy_ends, copy_liv, projections


def mixer_weights(theirs: Any) -> Weights:
    """Weights of a `Mamba2Mixer` with `expand=1` and one group, for class SSD."""
    inner, state = theirs.intermediate_size, theirs.ssm_state_size
    sizes = [inner, inner, state, state, theirs.num_heads]
    gate, value, b, c, step = theirs.in_proj.weight.split(sizes)
    return {
        **projections(theirs.out_proj, V=value, B=b, C=c, G=gate),
        **convolutions(theirs.conv1d.weight, theirs.conv1d.bias, V=inner, B=state, C=state),
        "featurizer.groups.A.0.step.weight": step,
        "featurizer.groups.A.0.step.bias": theirs.dt_bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.skip": theirs.D,
        "structure.norm": theirs.norm.weight,
    }


def copy_mamba2(ours: LanguageModel, theirs: nn.Module) -> None:
    """Each layer of a `Mamba2ForCausalLM` into one LIV."""
    backbone: Any = theirs.backbone
    copy_ends(ours, backbone.embeddings, backbone.norm_f)
    for liv, layer in zip(ours.livs, backbone.layers, strict=True):
        copy_liv(liv, mixer_weights(layer.mixer), layer.norm)
