"""Llama and Mistral: softmax attention and SwiGLU in turn."""

from typing import Any

from torch import nn

from ..language_model import LanguageModel
from .weights import Weights, copy_ends, copy_liv, projections


def attention_weights(theirs: Any) -> Weights:
    """Weights of a `LlamaAttention` or `MistralAttention`, for classes SA-1, SA-3, SA-4 and
    SA-3-Band."""
    return projections(
        theirs.o_proj, C=theirs.q_proj.weight, B=theirs.k_proj.weight, V=theirs.v_proj.weight
    )


def feed_forward_weights(theirs: Any) -> Weights:
    """Weights of a `LlamaMLP` or `MistralMLP`, for class GMemless."""
    return projections(theirs.down_proj, C=theirs.gate_proj.weight, V=theirs.up_proj.weight)


def copy_llama(ours: LanguageModel, theirs: nn.Module) -> None:
    """Each layer of a `LlamaForCausalLM` or `MistralForCausalLM` into two LIVs."""
    model: Any = theirs.model
    copy_ends(ours, model.embed_tokens, model.norm)
    for layer, attention, feed_forward in zip(
        model.layers, ours.livs[::2], ours.livs[1::2], strict=True
    ):
        copy_liv(attention, attention_weights(layer.self_attn), layer.input_layernorm)
        copy_liv(feed_forward, feed_forward_weights(layer.mlp), layer.post_attention_layernorm)
