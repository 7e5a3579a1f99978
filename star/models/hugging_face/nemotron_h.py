"""Nemotron-H: Mamba-2, attention without positions and squared ReLU in any order, a norm before
each."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from star.base.errors import UserError
from star.genomes import LivClass, ModelConfig
from star.genomes.operators import DIAGONAL, LOW_RANK
from star.genomes.widths import head_count, head_groups, inner_width, own_head_width

from .family import Family, Views, expect_known, expect_values, key_heads
from .llama import attention_settings, attention_weights
from .mamba import TAPS
from .mamba2 import CLASSES as RECURRENT
from .mamba2 import mixer_weights
from .weights import Weights, norms, projections

ATTENTION = {1: "NoPE-1", 4: "NoPE-4"}  # by the query heads to a head of keys and values
FEED_FORWARD = "ReLU2"
RECURRENT_TYPE, ATTENTION_TYPE, FEED_FORWARD_TYPE = "linear_attention", "full_attention", "mlp"
# Step sizes below it are raised to it, which is none of ours; so small a one does nothing.
SMALLEST_STEP = 1e-6


def feed_forward_weights(theirs: Any) -> Weights:
    """Weights of a `NemotronHMLP` of squared ReLU, for class ReLU2."""
    return projections(theirs.down_proj, V=theirs.up_proj.weight)


def _kind(liv_class: LivClass) -> str:
    mixing = liv_class.operator.token_mixing
    kinds = {LOW_RANK: ATTENTION_TYPE, DIAGONAL: FEED_FORWARD_TYPE}
    return kinds.get(mixing, RECURRENT_TYPE)


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    by_kind = {_kind(liv_class): liv_class for liv_class in classes}
    settings: dict[str, Any] = {
        "hidden_size": sizes.width,
        "vocab_size": sizes.vocabulary,
        "layers_block_type": [_kind(liv_class) for liv_class in classes],
        "tie_word_embeddings": False,  # its head is its own in any case
        "layer_norm_epsilon": sizes.norm_eps,
        "max_position_embeddings": context,
        "time_step_min": SMALLEST_STEP,
        "n_groups": head_groups(sizes),
        "conv_kernel": TAPS,
        "num_nextn_predict_layers": 0,
    }
    if ATTENTION_TYPE in by_kind:
        settings |= attention_settings(by_kind[ATTENTION_TYPE], sizes)
    if RECURRENT_TYPE in by_kind:
        recurrent = by_kind[RECURRENT_TYPE]
        settings |= {
            "ssm_state_size": recurrent.operator.state,
            "mamba_num_heads": head_count(recurrent, sizes),
            "mamba_head_dim": own_head_width(recurrent, sizes),
            "expand": max(1, inner_width(recurrent, sizes) // sizes.width),
        }
    if FEED_FORWARD_TYPE in by_kind:
        settings["intermediate_size"] = inner_width(by_kind[FEED_FORWARD_TYPE], sizes)
    return settings


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    kinds = set(config.layers_block_type)
    layers = {
        RECURRENT_TYPE: RECURRENT.get(config.ssm_state_size, ""),
        FEED_FORWARD_TYPE: FEED_FORWARD,
        ATTENTION_TYPE: key_heads(config, ATTENTION) if ATTENTION_TYPE in kinds else "",
    }
    names = [expect_known("layers_block_type", kind, layers) for kind in config.layers_block_type]
    expect_values(config, use_bias=False, num_nextn_predict_layers=0)
    widths: dict[str, Any] = {}
    if ATTENTION_TYPE in kinds:
        expect_values(config, attention_bias=False, sliding_window=None)
        widths["head_width"] = config.head_dim
        widths["attention_width"] = config.num_attention_heads * config.head_dim
    if RECURRENT_TYPE in kinds:
        _expect_recurrence(config)
        widths["recurrent_width"] = config.mamba_num_heads * config.mamba_head_dim
        widths["recurrent_head_width"] = config.mamba_head_dim
        widths["recurrent_groups"] = config.n_groups
    if FEED_FORWARD_TYPE in kinds:
        expect_values(config, mlp_hidden_act="relu2", mlp_bias=False)
        widths["feed_forward_width"] = config.intermediate_size
    sizes = ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tie_embeddings=False,
        norm_eps=float(config.layer_norm_epsilon),
        **widths,
    )
    return names, sizes


def _expect_recurrence(config: Any) -> None:
    expect_values(
        config, conv_kernel=TAPS, use_conv_bias=True, mamba_hidden_act="silu",
        mamba_proj_bias=False,
    )  # fmt: skip
    expect_known("ssm_state_size", config.ssm_state_size, RECURRENT)
    if config.time_step_min > SMALLEST_STEP:
        raise UserError(f"time_step_min={config.time_step_min}: expected at most {SMALLEST_STEP}")


def _views(theirs: Any) -> Views:
    weights = {
        RECURRENT_TYPE: mixer_weights,
        ATTENTION_TYPE: attention_weights,
        FEED_FORWARD_TYPE: feed_forward_weights,
    }
    for layer in theirs.model.layers:
        yield {**weights[layer.block_type](layer.mixer), **norms(layer.norm)}


def _ends(theirs: Any) -> tuple[nn.Module, nn.Module]:
    return theirs.model.embeddings, theirs.model.norm_f


NEMOTRON_H = Family(
    "Nemotron-H", "NemotronH",
    tuple(
        [(recurrent,), (attention,), (FEED_FORWARD,)]
        for recurrent in RECURRENT.values()
        for attention in ATTENTION.values()
    ),
    _settings, _read, _views, _ends, required=(ATTENTION.values(),),
)  # fmt: skip
