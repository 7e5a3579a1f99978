"""OLMo-Hybrid: gated delta rules with negative eigenvalues and attention in any order, SwiGLU after
each; norms stand behind attention and its SwiGLU, and before the others."""

from collections.abc import Sequence
from typing import Any

from star.base.errors import UserError
from star.genomes import LivClass, ModelConfig
from star.genomes.norms import POST_ATTENTION
from star.genomes.operators import LOW_RANK
from star.genomes.widths import head_count, inner_width, own_head_width

from .family import (
    Family,
    Views,
    expect_known,
    expect_values,
    key_heads,
    rotary_parameters,
    rotary_sizes,
)
from .llama import (
    FEED_FORWARD,
    LAYER_TYPES,
    attention_settings,
    ends,
    feed_forward_weights,
    normed_attention_weights,
)
from .mamba import TAPS
from .weights import Weights, convolutions, norms, projections

RECURRENT = "GatedDelta-Neg"
ATTENTION = {True: "JointQKNorm", False: "JointQKNorm-NoPE"}  # by whether it has positions
RECURRENT_TYPE, ATTENTION_TYPE = "linear_attention", LAYER_TYPES[False]
NO_ROTATIONS = {"rope_type": "default", "rope_theta": None}


def gated_delta_weights(theirs: Any) -> Weights:
    """Weights of an `OlmoHybridGatedDeltaNet`, for class GatedDelta-Neg."""
    inputs = {
        "C": theirs.q_proj, "B": theirs.k_proj, "V": theirs.v_proj, "G": theirs.g_proj,
    }  # fmt: skip
    keys, values = theirs.key_dim, theirs.value_dim
    return {
        **projections(theirs.o_proj, **{name: layer.weight for name, layer in inputs.items()}),
        **convolutions(theirs.conv1d.weight, None, C=keys, B=keys, V=values),
        "featurizer.groups.A.0.beta.weight": theirs.b_proj.weight,
        "featurizer.groups.A.0.step.weight": theirs.a_proj.weight,
        "featurizer.groups.A.0.step.bias": theirs.dt_bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.norm": theirs.o_norm.weight,
    }


def _is_attention(liv_class: LivClass) -> bool:
    return liv_class.operator.token_mixing == LOW_RANK


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    mixers = classes[::2]
    attention = next(c for c in mixers if _is_attention(c))
    recurrent = next(c for c in mixers if not _is_attention(c))
    heads, values = head_count(recurrent, sizes), own_head_width(recurrent, sizes)
    kinds = {True: ATTENTION_TYPE, False: RECURRENT_TYPE}
    rotated = attention.operator.made_by.rotary > 0
    return {
        "hidden_size": sizes.width,
        "vocab_size": sizes.vocabulary,
        "intermediate_size": inner_width(classes[1], sizes),
        "num_hidden_layers": len(mixers),
        "layer_types": [kinds[_is_attention(liv_class)] for liv_class in mixers],
        **attention_settings(attention, sizes),
        "rope_parameters": rotary_parameters(sizes) if rotated else NO_ROTATIONS,
        "linear_num_key_heads": heads,
        "linear_num_value_heads": heads,
        "linear_key_head_dim": values // 2,
        "linear_value_head_dim": values,
        "linear_conv_kernel_dim": TAPS,
        "rms_norm_eps": sizes.norm_eps,
        "tie_word_embeddings": sizes.tie_embeddings,
        "max_position_embeddings": context,
    }


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    expect_values(config, hidden_act="silu", attention_bias=False)
    _expect_recurrence(config)
    rotations = config.rope_parameters or NO_ROTATIONS
    rotated = rotations.get("rope_theta") is not None
    mixers = {
        ATTENTION_TYPE: key_heads(config, {1: ATTENTION[rotated]}),
        RECURRENT_TYPE: RECURRENT,
    }
    names = [expect_known("layer_types", kind, mixers) for kind in config.layer_types]
    one = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    sizes = ModelConfig(
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        tie_embeddings=config.tie_word_embeddings,
        **(rotary_sizes(rotations) if rotated else {}),
        norm_eps=float(config.rms_norm_eps),
        head_width=one,
        attention_width=config.num_attention_heads * one,
        recurrent_width=config.linear_num_value_heads * config.linear_value_head_dim,
        recurrent_head_width=config.linear_value_head_dim,
        feed_forward_width=config.intermediate_size,
        norms=POST_ATTENTION,
    )
    return [name for mixer in names for name in (mixer, FEED_FORWARD)], sizes


def _expect_recurrence(config: Any) -> None:
    expect_values(config, linear_allow_neg_eigval=True, linear_conv_kernel_dim=TAPS)
    expect_values(config, linear_num_key_heads=config.linear_num_value_heads)
    keys, values = config.linear_key_head_dim, config.linear_value_head_dim
    if values != 2 * keys:
        raise UserError(
            f"linear_key_head_dim={keys} and linear_value_head_dim={values}: expected values twice "
            "as wide as keys"
        )


def _views(theirs: Any) -> Views:
    for layer in theirs.model.layers:
        feed_forward = feed_forward_weights(layer.mlp)
        if hasattr(layer, "self_attn"):
            attention = normed_attention_weights(layer.self_attn)
            yield {**attention, **norms(None, layer.post_attention_layernorm)}
            yield {**feed_forward, **norms(None, layer.post_feedforward_layernorm)}
        else:
            yield {**gated_delta_weights(layer.linear_attn), **norms(layer.input_layernorm)}
            yield {**feed_forward, **norms(layer.post_attention_layernorm)}


OLMO_HYBRID = Family(
    "OLMo-Hybrid", "OlmoHybrid",
    tuple(
        [(mixer, FEED_FORWARD) for mixer in (RECURRENT, attention)]
        for attention in ATTENTION.values()
    ),
    _settings, _read, _views, ends, required=(ATTENTION.values(), (RECURRENT,)),
    norms=(POST_ATTENTION,),
)  # fmt: skip
