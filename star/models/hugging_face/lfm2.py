"""LFM2: gated short convolutions, grouped-query attention, and SwiGLU after each."""

from typing import Any

from torch import nn

from ..language_model import LanguageModel
from .weights import Weights, copy_ends, copy_liv, projections


def attention_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2Attention`, for classes SA-3 and SA-4; its norms of queries and keys must
    be the identity."""
    return projections(
        theirs.out_proj, C=theirs.q_proj.weight, B=theirs.k_proj.weight, V=theirs.v_proj.weight
    )


def short_convolution_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2ShortConv` without biases, for class GConv-1."""
    b, c, v = theirs.in_proj.weight.chunk(3)
    kernel = {"featurizer.groups.K.0.weight": theirs.conv.weight[:, 0]}
    return {**projections(theirs.out_proj, B=b, C=c, V=v), **kernel}


def feed_forward_weights(theirs: Any) -> Weights:
    """Weights of an `Lfm2MLP`, for class GMemless."""
    return projections(theirs.w2, C=theirs.w1.weight, V=theirs.w3.weight)


def copy_lfm2(ours: LanguageModel, theirs: nn.Module) -> None:
    """Each layer of an `Lfm2ForCausalLM`, without norms of queries and keys, into two LIVs."""
    model: Any = theirs.model
    copy_ends(ours, model.embed_tokens, model.embedding_norm)
    for layer, mixer, feed_forward in zip(
        model.layers, ours.livs[::2], ours.livs[1::2], strict=True
    ):
        weights = (
            attention_weights(layer.self_attn)
            if layer.is_attention_layer
            else short_convolution_weights(layer.conv)
        )
        copy_liv(mixer, weights, layer.operator_norm)
        copy_liv(feed_forward, feed_forward_weights(layer.feed_forward), layer.ffn_norm)
