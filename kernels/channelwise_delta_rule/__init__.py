"""The channel-wise gated delta rule of Kimi Delta Attention (arXiv 2510.26692): each channel of a
key forgets at a rate of its own."""

import torch
from torch import Tensor

from ..delta import check_delta, delta_step
from .operator import NAME, channelwise_delta_rule_from

__all__ = ["channelwise_delta_rule"]


def channelwise_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> Tensor:
    """A matrix-valued state per head whose rows decay, each at its own rate, and that learns v from
    k by one step of gradient descent per position.

        S_t = (I - beta_t k_t k_t^T) Diag(exp(decay_t)) S_{t-1} + beta_t k_t v_t^T,
        y_t = q_t^T S_t / sqrt(key width)

    Everything is accumulated in float32 (float64 for float64 v). Agrees with
    `recurrent_kimi_delta_attention` of Hugging Face's Kimi Linear and `naive_recurrent_kda` of
    flash-linear-attention, up to their layout (batch, length, heads, width). Backward keeps one
    state per chunk of up to 64 positions and computes the rest again.

    Args:
        q: (batch, heads, length, key width), any floating dtype, as all others; length at least 1.
        k: (batch, heads, length, key width). The caller scales each k to L2 norm 1 (and usually q
            too); longer keys can make the state grow without bound.
        v: (batch, heads, length, value width).
        decay: (batch, heads, length, key width), at most 0, however low.
        beta: (batch, heads, length), in 0..1.
        state: (batch, heads, key width, value width), S after the positions before these, zeros
            before the first. With it the inputs continue a sequence: it is read, and advanced in
            place. For generation: nothing is differentiable then.

    Returns y as v in shape and dtype. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    check_delta(NAME, q, k, v, decay, beta, state, by_channel=True)
    if state is None:
        return channelwise_delta_rule_from(q, k, v, decay, beta, None)[0]
    with torch.no_grad():
        if v.shape[2] == 1:
            return delta_step(q, k, v, decay, beta, state)
        y, last = channelwise_delta_rule_from(q, k, v, decay, beta, state)
        state.copy_(last)
    return y
