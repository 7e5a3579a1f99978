"""The gated delta rule (arXiv 2412.06464): linear attention whose state forgets and corrects
itself."""

import torch
from torch import Tensor

from ..delta import check_delta, delta_step
from .operator import NAME, gated_delta_rule_from

__all__ = ["gated_delta_rule"]


def gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor | None = None
) -> Tensor:
    """A matrix-valued state per head that decays, and learns v from k by one step of gradient
    descent per position.

        S_t = a_t (S_{t-1} - beta_t k_t (k_t^T S_{t-1})) + beta_t k_t v_t^T,   a_t = exp(decay_t),
        y_t = q_t^T S_t / sqrt(key width)

    Everything is accumulated in float32 (float64 for float64 v). Agrees with
    `torch_recurrent_gated_delta_rule` of Hugging Face's Qwen3-Next up to its layout (batch, length,
    heads, width). Backward keeps one state per chunk of 16 to 64 positions and computes the rest
    again.

    Args:
        q: (batch, heads, length, key width), any floating dtype, as all others; length at least 1.
        k: (batch, heads, length, key width). The caller scales each k to L2 norm 1 (and usually q
            too); longer keys can make the state grow without bound.
        v: (batch, heads, length, value width).
        decay: (batch, heads, length), at most 0; below -40 it counts as -40.
        beta: (batch, heads, length), in 0..2. Above 1 it writes more than it corrects: what the
            state holds for a key changes its sign, which is an eigenvalue below 0 (arXiv
            2411.12537).
        state: (batch, heads, key width, value width), S after the positions before these, zeros
            before the first. With it the inputs continue a sequence: it is read, and advanced in
            place. For generation: nothing is differentiable then.

    Returns y as v in shape and dtype. Raises ValueError for shapes, devices or dtypes that do not
    fit.
    """
    check_delta(NAME, q, k, v, decay, beta, state, by_channel=False)
    if state is None:
        return gated_delta_rule_from(q, k, v, decay, beta, None)[0]
    with torch.no_grad():
        if v.shape[2] == 1:
            return delta_step(q, k, v, decay[..., None], beta, state)
        y, last = gated_delta_rule_from(q, k, v, decay, beta, state)
        state.copy_(last)
    return y
