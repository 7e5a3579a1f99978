"""Mamba: selective state spaces."""

from typing import Any

from torch import nn

from ..language_model import LanguageModel
from .weights import Weights, convolutions, copy_ends, copy_liv, projections


def mixer_weights(theirs: Any) -> Weights:
    """Weights of a `MambaMixer` with `expand=1`, for class Rec-1, or Rec-2 for a state of 2."""
    value, gate = theirs.in_proj.weight.chunk(2)
    sizes = [theirs.time_step_rank, theirs.ssm_state_size, theirs.ssm_state_size]
    step, b, c = theirs.x_proj.weight.split(sizes)
    return {
        **projections(theirs.out_proj, V=value, G=gate, B=b, C=c),
        **convolutions(theirs.conv1d.weight, theirs.conv1d.bias, V=theirs.intermediate_size),
        "featurizer.groups.A.0.down.weight": step,
        "featurizer.groups.A.0.up.weight": theirs.dt_proj.weight,
        "featurizer.groups.A.0.up.bias": theirs.dt_proj.bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.skip": theirs.D,
    }


def copy_mamba(ours: LanguageModel, theirs: nn.Module) -> None:
    """Each layer of a `MambaForCausalLM` into one LIV."""
    backbone: Any = theirs.backbone
    copy_ends(ours, backbone.embeddings, backbone.norm_f)
    for liv, layer in zip(ours.livs, backbone.layers, strict=True):
        copy_liv(liv, mixer_weights(layer.mixer), layer.norm)
