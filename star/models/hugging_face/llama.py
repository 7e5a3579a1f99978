"""Llama, Mistral and Qwen3: softmax attention and SwiGLU in turn."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from star.genomes import LivClass, ModelConfig
from star.genomes.model_config import head_width
from star.genomes.operators import BANDED
from star.genomes.structures.low_rank import window_of
from star.genomes.widths import group_width, inner_width

from .family import (
    Family,
    Views,
    expect_known,
    expect_values,
    key_heads,
    rotary_parameters,
    rotary_sizes,
)
from .weights import Weights, normed_projections, norms, projections

FEED_FORWARD = "GMemless"
# Classes by the query heads to a head of keys and values.
ATTENTION = {1: "SA-1", 2: "SA-4", 3: "GQA-3", 4: "SA-3", 8: "GQA-8"}
BAND = {1: "Op-12223", 2: "Op-42223", 3: "Op-21.2.2.2.3", 4: "SA-3-Band", 8: "Op-22.2.2.2.3"}
QK_NORM = {1: "QKNorm-1", 2: "QKNorm-2", 4: "QKNorm-4", 8: "QKNorm-8"}
QK_NORM_BAND = {
    1: "Op-12.2.2.2.3", 2: "Op-13.2.2.2.3", 4: "Op-14.2.2.2.3", 8: "Op-15.2.2.2.3",
}  # fmt: skip
LAYER_TYPES = {True: "sliding_attention", False: "full_attention"}  # by whether it is banded


def attention_weights(theirs: Any) -> Weights:
    """Weights of a `LlamaAttention` or `MistralAttention`, for classes of softmax attention without
    norms and gates."""
    return projections(
        theirs.o_proj, C=theirs.q_proj.weight, B=theirs.k_proj.weight, V=theirs.v_proj.weight
    )


def normed_attention_weights(theirs: Any) -> Weights:
    """Weights of a `Qwen3Attention`, for the classes with QK-norm."""
    normed = normed_projections(C=theirs.q_norm, B=theirs.k_norm)
    return {**attention_weights(theirs), **normed}


def feed_forward_weights(theirs: Any) -> Weights:
    """Weights of a `LlamaMLP`, `MistralMLP` or `Qwen3MLP`, for class GMemless."""
    return projections(theirs.down_proj, C=theirs.gate_proj.weight, V=theirs.up_proj.weight)


def attention_settings(attention: LivClass, sizes: ModelConfig) -> dict[str, Any]:
    """Heads, as most families call them."""
    width = head_width(sizes)
    keys = group_width(attention.operator.group("B"), attention, sizes)
    return {
        "num_attention_heads": inner_width(attention, sizes) // width,
        "num_key_value_heads": keys // width,
        "head_dim": width,
    }


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    attention, feed_forward = classes[:2]
    return {
        "hidden_size": sizes.width,
        "vocab_size": sizes.vocabulary,
        "intermediate_size": inner_width(feed_forward, sizes),
        "num_hidden_layers": len(classes) // 2,
        **attention_settings(attention, sizes),
        "rope_parameters": rotary_parameters(sizes),
        "rms_norm_eps": sizes.norm_eps,
        "tie_word_embeddings": sizes.tie_embeddings,
        "max_position_embeddings": context,
    }


def _mistral_settings(
    classes: Sequence[LivClass], sizes: ModelConfig, context: int
) -> dict[str, Any]:
    window = window_of(classes[0].operator, sizes)
    return {**_settings(classes, sizes, context), "sliding_window": window}


def _qwen3_settings(
    classes: Sequence[LivClass], sizes: ModelConfig, context: int
) -> dict[str, Any]:
    banded = [liv_class.operator.sparsity == BANDED for liv_class in classes[::2]]
    return {
        **_settings(classes, sizes, context),
        "layer_types": [LAYER_TYPES[is_banded] for is_banded in banded],
        "use_sliding_window": any(banded),
        "sliding_window": sizes.window,
    }


def _sizes(config: Any) -> ModelConfig:
    expect_values(config, hidden_act="silu", attention_bias=False, mlp_bias=False)
    window = getattr(config, "sliding_window", None)
    return ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        window=ModelConfig.window if window is None else window,
        tie_embeddings=config.tie_word_embeddings,
        **rotary_sizes(config.rope_parameters),
        norm_eps=float(config.rms_norm_eps),
        head_width=config.head_dim,
        attention_width=config.num_attention_heads * config.head_dim,
        feed_forward_width=config.intermediate_size,
    )


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    names = ATTENTION if getattr(config, "sliding_window", None) is None else BAND
    layer = [key_heads(config, names), FEED_FORWARD]
    return layer * config.num_hidden_layers, _sizes(config)


def _read_qwen3(config: Any) -> tuple[list[str], ModelConfig]:
    attentions = {
        LAYER_TYPES[False]: key_heads(config, QK_NORM),
        LAYER_TYPES[True]: key_heads(config, QK_NORM_BAND),
    }
    kinds = [expect_known("layer_types", kind, attentions) for kind in config.layer_types]
    return [name for kind in kinds for name in (kind, FEED_FORWARD)], _sizes(config)


def _views(theirs: Any) -> Views:
    for layer in theirs.model.layers:
        normed = hasattr(layer.self_attn, "q_norm")
        attention = normed_attention_weights if normed else attention_weights
        yield {**attention(layer.self_attn), **norms(layer.input_layernorm)}
        yield {**feed_forward_weights(layer.mlp), **norms(layer.post_attention_layernorm)}


def ends(theirs: Any) -> tuple[nn.Module, nn.Module]:
    """Embedding and final norm."""
    return theirs.model.embed_tokens, theirs.model.norm


def alike(attentions: Iterable[str]) -> tuple[list[tuple[str, ...]], ...]:
    """Designs whose layers are all alike: one attention and a feed-forward layer."""
    return tuple([(attention, FEED_FORWARD)] for attention in attentions)


def _heads_divide_width(sizes: ModelConfig) -> bool:
    """What `LlamaConfig` asks for."""
    heads = (sizes.attention_width or sizes.width) // head_width(sizes)
    return sizes.width % heads == 0


LLAMA = Family(
    "Llama", "Llama", alike(ATTENTION.values()), _settings, _read, _views, ends,
    _heads_divide_width,
)  # fmt: skip
MISTRAL = Family(
    "Mistral", "Mistral", alike((*BAND.values(), "Window-256")), _mistral_settings, _read, _views,
    ends,
)  # fmt: skip
QWEN3 = Family(
    "Qwen3", "Qwen3",
    tuple(
        [(name, FEED_FORWARD) for name in (QK_NORM[repeat], QK_NORM_BAND[repeat])]
        for repeat in QK_NORM
    ),
    _qwen3_settings, _read_qwen3, _views, ends,
)  # fmt: skip
