"""Generation: sampling of the next token, and the loop of prefill and steps."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from star.base.errors import UserError
from star.base.settings import expect

from .cache import Cache
from .language_model import LanguageModel

LOWEST_TEMPERATURE = 1e-30  # lower ones, which float32 takes for 0, are as this one
PREFILL_CHUNK = 512  # bounds the memory of a long prompt; any value gives the same logits


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 0.8  # 0 takes the likeliest
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the likeliest that hold it together (arXiv 1904.09751)
    seed: int = 0  # the same seed gives the same tokens

    def check(self) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        expected = "0 (likeliest token) or a positive number"
        expect("temperature", self.temperature, 0 <= self.temperature < math.inf, expected)
        expect("top_k", self.top_k, self.top_k is None or self.top_k >= 1, "at least 1")
        fits = self.top_p is None or 0 < self.top_p <= 1
        expect("top_p", self.top_p, fits, "a number above 0, at most 1")


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    """Tokens int64 (batch,) from logits (batch, vocabulary)."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    # With the likeliest at 0 no temperature can make it infinite, as 1e-40 would.
    logits = logits.float() - logits.float().amax(dim=-1, keepdim=True)
    logits = logits / max(sampling.temperature, LOWEST_TEMPERATURE)
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        smallest = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if sampling.top_p is not None:
        logits = _nucleus(logits, sampling.top_p)
    return torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=generator)[:, 0]


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits of the smallest set of tokens with at least this probability; the others are -inf."""
    ordered, indices = logits.sort(dim=-1, descending=True)
    # The probability of all likelier tokens: 0.5 0.3 0.2 give 0 0.5 0.8, and of these a top_p of
    # 0.6 keeps the first two.
    before = torch.softmax(ordered, dim=-1).cumsum(dim=-1).roll(1, dims=-1)
    beyond = before >= top_p
    beyond[:, 0] = False  # the likeliest token always stays, even where float32 takes top_p for 0
    return logits.scatter(-1, indices, ordered.masked_fill(beyond, -torch.inf))


@torch.inference_mode()
def generate(
    model: LanguageModel,
    cache: Cache,
    prompt: Sequence[int],
    sampling: Sampling,
    vocabulary: int | None = None,
) -> Iterator[int]:
    """Tokens that follow the prompt, until the cache's context is full or nobody asks for more.

    Args:
        model: on any device, in any dtype.
        cache: empty, for one sequence.
        prompt: its tokens, at least one.
        sampling: how the next token is drawn.
        vocabulary: only tokens below it are drawn; None draws all.

    Raises:
        ValueError: for an empty prompt or one longer than the context.
        UserError: when the model gives something else than finite numbers.
    """
    if not prompt:
        raise ValueError("the prompt is empty: expected at least one token")
    device = model.device
    random = torch.Generator(device).manual_seed(sampling.seed)
    tokens = torch.tensor([list(prompt)], device=device)
    cache.check_room(1, tokens.shape[1])
    logits = torch.empty(0)
    for part in tokens.split(PREFILL_CHUNK, dim=1):
        logits = model.prefill(part, cache)[:, -1]
    while True:
        if not bool(torch.isfinite(logits).all()):
            raise UserError(
                f"the model's logits are not finite after {cache.position} tokens: its weights "
                f"hold NaN or infinity, or are too large for {model.dtype}; try dtype=float32, or "
                "another checkpoint"
            )
        token = draw(logits[:, :vocabulary], sampling, random)
        yield int(token)
        if cache.position == cache.context:
            return
        logits = model.step(token, cache)
