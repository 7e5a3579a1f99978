"""Mamba: selective state spaces."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from star.genomes import LivClass, ModelConfig
from star.genomes.structures.state_space import step_rank
from star.genomes.widths import inner_width

from .family import Family, Views, expect_known, expect_values
from .weights import Weights, convolutions, norms, projections

CLASSES = {16: "Rec-1", 2: "Rec-2"}  # by the size of a channel's state
TAPS = 4


def mixer_weights(theirs: Any) -> Weights:
    """Weights of a `MambaMixer`, for class Rec-1, or Rec-2 for a state of 2."""
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


def recurrent_settings(classes: Sequence[LivClass], sizes: ModelConfig) -> dict[str, Any]:
    """What Mamba and Mamba-2 have in common."""
    return {
        "hidden_size": sizes.width,
        "vocab_size": sizes.vocabulary,
        "num_hidden_layers": len(classes),
        "state_size": classes[0].operator.state,
        "expand": inner_width(classes[0], sizes) // sizes.width,
        "conv_kernel": TAPS,
        "layer_norm_epsilon": sizes.norm_eps,
        "tie_word_embeddings": sizes.tie_embeddings,
    }


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    return recurrent_settings(classes, sizes)


def expect_mixer(config: Any) -> None:
    """Raise `UserError` for what neither Mamba nor Mamba-2 has as a class."""
    expect_values(config, hidden_act="silu", use_bias=False, use_conv_bias=True, conv_kernel=TAPS)


def recurrent_sizes(config: Any, **given: Any) -> ModelConfig:
    """Sizes of a Mamba or Mamba-2. given: sizes of heads, where it has any."""
    return ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tie_embeddings=config.tie_word_embeddings,
        norm_eps=float(config.layer_norm_epsilon),
        recurrent_width=int(config.expand * config.hidden_size),
        **given,
    )


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    expect_mixer(config)
    expect_values(config, time_step_rank=step_rank(config.hidden_size))
    name = expect_known("state_size", config.state_size, CLASSES)
    return [name] * config.num_hidden_layers, recurrent_sizes(config)


def _views(theirs: Any) -> Views:
    for layer in theirs.backbone.layers:
        yield {**mixer_weights(layer.mixer), **norms(layer.norm)}


def ends(theirs: Any) -> tuple[nn.Module, nn.Module]:
    """Embedding and final norm."""
    return theirs.backbone.embeddings, theirs.backbone.norm_f


def expands(sizes: ModelConfig) -> bool:
    """Their inner width is a multiple of the model's."""
    return (sizes.recurrent_width or sizes.width) % sizes.width == 0


MAMBA = Family(
    "Mamba", "Mamba", tuple([(name,)] for name in CLASSES.values()), _settings, _read, _views, ends,
    expands,
)  # fmt: skip
