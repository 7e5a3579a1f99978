"""LFM2: gated short convolutions and grouped-query attention with QK-norm in any order, and SwiGLU
after each."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from star.genomes import LivClass, ModelConfig
from star.genomes.operators import TOEPLITZ
from star.genomes.widths import inner_width

from .family import (
    Family,
    Views,
    expect_known,
    expect_values,
    key_heads,
    rotary_parameters,
    rotary_sizes,
)
from .llama import FEED_FORWARD, QK_NORM, attention_settings
from .weights import Weights, normed_projections, norms, projections

CONVOLUTION = {3: "GConv-1", 7: "GConv-7"}  # by taps
ATTENTION_TYPE, CONVOLUTION_TYPE = "full_attention", "conv"  # of layers


def attention_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2Attention`, for the classes with QK-norm."""
    return {
        **projections(
            theirs.out_proj, C=theirs.q_proj.weight, B=theirs.k_proj.weight, V=theirs.v_proj.weight
        ),
        **normed_projections(C=theirs.q_layernorm, B=theirs.k_layernorm),
    }


def short_convolution_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2ShortConv` or `Lfm3ShortConv` without biases, for classes GConv-1 and
    GConv-7."""
    b, c, v = theirs.in_proj.weight.chunk(3)
    kernel = {"featurizer.groups.K.0.weight": theirs.conv.weight[:, 0]}
    return {**projections(theirs.out_proj, B=b, C=c, V=v), **kernel}


def feed_forward_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2MLP` or `Lfm3MLP`, for class GMemless."""
    return projections(theirs.w2, C=theirs.w1.weight, V=theirs.w3.weight)


def is_convolution(liv_class: LivClass) -> bool:
    """Whether it is one of the gated short convolutions."""
    return liv_class.operator.token_mixing == TOEPLITZ


def hybrid_settings(
    classes: Sequence[LivClass], sizes: ModelConfig, context: int
) -> dict[str, Any]:
    """What LFM2 and LFM3 have in common."""
    mixers = classes[::2]
    attention = next(c for c in mixers if not is_convolution(c))
    taps = [c.operator.group("K").kernel_length for c in mixers if is_convolution(c)]
    return {
        "hidden_size": sizes.width,
        "vocab_size": sizes.vocabulary,
        "intermediate_size": inner_width(classes[1], sizes),
        "num_hidden_layers": len(mixers),
        **attention_settings(attention, sizes),
        "conv_L_cache": max(taps, default=3),
        "norm_eps": sizes.norm_eps,
        "tie_word_embeddings": sizes.tie_embeddings,
        "max_position_embeddings": context,
    }


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    settings = hybrid_settings(classes, sizes, context)
    settings.pop("head_dim", None)  # LFM2 has none: it follows from the number of heads
    kinds = {True: CONVOLUTION_TYPE, False: ATTENTION_TYPE}
    return {
        **settings,
        "layer_types": [kinds[is_convolution(liv_class)] for liv_class in classes[::2]],
        "block_auto_adjust_ff_dim": False,  # the width is exact
        "rope_parameters": rotary_parameters(sizes),
    }


def feed_forward_width(config: Any) -> int:
    """Of an `Lfm2MLP`, whose configuration may have it adjusted."""
    width = config.intermediate_size
    if not config.block_auto_adjust_ff_dim:
        return width
    width = int(2 * width / 3)
    if config.block_ffn_dim_multiplier is None:
        return width
    multiple = config.block_multiple_of
    return -(-int(config.block_ffn_dim_multiplier * width) // multiple) * multiple


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    expect_values(config, conv_bias=False)
    mixers = {
        CONVOLUTION_TYPE: expect_known("conv_L_cache", config.conv_L_cache, CONVOLUTION),
        ATTENTION_TYPE: key_heads(config, QK_NORM),
    }
    names = [expect_known("layer_types", kind, mixers) for kind in config.layer_types]
    one = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    sizes = ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tie_embeddings=config.tie_word_embeddings,
        **rotary_sizes(config.rope_parameters),
        norm_eps=float(config.norm_eps),
        head_width=one,
        attention_width=config.num_attention_heads * one,
        feed_forward_width=feed_forward_width(config),
    )
    return [name for mixer in names for name in (mixer, FEED_FORWARD)], sizes


def _views(theirs: Any) -> Views:
    for layer in theirs.model.layers:
        weights = (
            attention_weights(layer.self_attn)
            if layer.is_attention_layer
            else short_convolution_weights(layer.conv)
        )
        yield {**weights, **norms(layer.operator_norm)}
        yield {**feed_forward_weights(layer.feed_forward), **norms(layer.ffn_norm)}


def ends(theirs: Any) -> tuple[nn.Module, nn.Module]:
    """Embedding and final norm."""
    return theirs.model.embed_tokens, theirs.model.embedding_norm


def _heads_make_width(sizes: ModelConfig) -> bool:
    """There is no head width in its configuration, nor a width of all heads."""
    return sizes.attention_width in (None, sizes.width)


LFM2 = Family(
    "LFM2", "Lfm2",
    tuple(
        [(mixer, FEED_FORWARD) for mixer in (convolution, attention)]
        for convolution in CONVOLUTION.values()
        for attention in QK_NORM.values()
    ),
    _settings, _read, _views, ends, _heads_make_width, required=(QK_NORM.values(),),
)  # fmt: skip
