"""LFM3: LFM2 with gated attention, over everything or a window, and norms behind each layer too."""

from collections.abc import Sequence
from typing import Any

from star.base.errors import UserError
from star.genomes import LivClass, ModelConfig
from star.genomes.operators import BANDED

from .family import Family, Views, expect_known, expect_values, unscaled
from .lfm2 import (
    CONVOLUTION,
    CONVOLUTION_TYPE,
    ends,
    feed_forward_weights,
    hybrid_settings,
    is_convolution,
    short_convolution_weights,
)
from .llama import FEED_FORWARD, LAYER_TYPES, normed_attention_weights
from .weights import Weights, group_projections, norms

FULL, SLIDING = LAYER_TYPES[False], LAYER_TYPES[True]
ATTENTION = {FULL: "GatedAttn-4", SLIDING: "GatedAttn-4-Band"}
REPEAT = 4  # query heads to a head of keys and values
WINDOW = 256
# Positions of each, which the classes have too.
ROTATIONS = {
    FULL: {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.5},
    SLIDING: {"rope_type": "default", "rope_theta": 1e4},
}


def attention_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm3Attention` with gates, for classes GatedAttn-4 and GatedAttn-4-Band."""
    return {**normed_attention_weights(theirs), **group_projections(G=theirs.g_proj.weight)}


def _kind(liv_class: LivClass) -> str:
    if is_convolution(liv_class):
        return CONVOLUTION_TYPE
    return LAYER_TYPES[liv_class.operator.sparsity == BANDED]


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    return {
        **hybrid_settings(classes, sizes, context),
        "layer_types": [_kind(liv_class) for liv_class in classes[::2]],
        "rope_parameters": ROTATIONS,
        "sliding_window": WINDOW,
        "use_sandwich_norm": sizes.norms == "sandwich",
        "use_attention_gate": True,
    }


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    expect_values(config, use_attention_gate=True, conv_bias=False, attention_bias=False)
    kinds = set(config.layer_types)
    if kinds & ATTENTION.keys() and (
        config.num_attention_heads != REPEAT * config.num_key_value_heads
    ):
        heads = f"num_key_value_heads={config.num_key_value_heads}"
        raise UserError(f"{heads}: expected a quarter of num_attention_heads")
    if SLIDING in kinds:
        expect_values(config, sliding_window=WINDOW)
    for kind in sorted(kinds & ATTENTION.keys()):
        _expect_rotations(kind, config.rope_parameters[kind])
    taps = expect_known("conv_L_cache", config.conv_L_cache, CONVOLUTION)
    mixers = {**ATTENTION, CONVOLUTION_TYPE: taps}
    names = [expect_known("layer_types", kind, mixers) for kind in config.layer_types]
    sizes = ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tie_embeddings=config.tie_word_embeddings,
        norm_eps=float(config.norm_eps),
        head_width=config.head_dim,
        attention_width=config.num_attention_heads * config.head_dim,
        feed_forward_width=config.intermediate_size,
        norms="sandwich" if config.use_sandwich_norm else "pre",
    )
    return [name for mixer in names for name in (mixer, FEED_FORWARD)], sizes


def _expect_rotations(kind: str, found: dict[str, Any]) -> None:
    for key, value in ROTATIONS[kind].items():
        if found.get(key) != value:
            where = f"rope_parameters.{kind}.{key}"
            raise UserError(f"{where}={found.get(key)!r}: expected {value!r}")


def _views(theirs: Any) -> Views:
    for layer in theirs.model.layers:
        weights = (
            attention_weights(layer.self_attn)
            if layer.is_attention_layer
            else short_convolution_weights(layer.conv)
        )
        yield {**weights, **norms(layer.operator_norm, layer.post_operator_norm)}
        feed_forward = feed_forward_weights(layer.feed_forward)
        yield {**feed_forward, **norms(layer.ffn_norm, layer.post_ffn_norm)}


LFM3 = Family(
    "LFM3", "Lfm3",
    tuple(
        [(mixer, FEED_FORWARD) for mixer in (convolution, *ATTENTION.values())]
        for convolution in CONVOLUTION.values()
    ),
    _settings, _read, _views, ends, unscaled, required=(ATTENTION.values(),),
    norms=("pre", "sandwich"),
)  # fmt: skip
