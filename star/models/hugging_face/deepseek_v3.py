"""DeepSeek-V3: multi-head latent attention, which Kimi Linear has without positions."""

from typing import Any

import torch

from .weights import Weights, projections


def _halves(weight: torch.Tensor, rotary: int) -> torch.Tensor:
    """The last `rotary` rows of (..., rows, width) in our order: rotations take channel k and
    k + half as a pair, not two that are neighbours."""
    still, turned = weight.split([weight.shape[-2] - rotary, rotary], dim=-2)
    return torch.cat([still, turned[..., 0::2, :], turned[..., 1::2, :]], dim=-2)


def latent_attention_weights(theirs: Any) -> Weights:
    """Weights of a `DeepseekV3Attention` without low-rank queries, for class MLA, or of a
    `KimiLinearAttention`, for MLA-NoPE; with keys and values of our widths."""
    heads, latent, rotary = theirs.num_heads, theirs.kv_lora_rank, theirs.qk_rope_head_dim
    queries = theirs.q_proj.weight.unflatten(0, (heads, -1))
    latents = theirs.kv_a_proj_with_mqa.weight
    if getattr(theirs.config, "rope_interleave", False):
        queries, latents = _halves(queries, rotary), _halves(latents, rotary)
    by_head = theirs.kv_b_proj.weight.unflatten(0, (heads, -1))
    keys, values = by_head.split([theirs.qk_nope_head_dim, theirs.v_head_dim], dim=1)
    return {
        **projections(theirs.o_proj, C=queries.flatten(0, 1), L=latents),
        "featurizer.groups.L.0.norm.weight": theirs.kv_a_layernorm.weight,
        "featurizer.groups.B.0.map.weight": keys.reshape(-1, latent),
        "featurizer.groups.V.0.map.weight": values.reshape(-1, latent),
    }
