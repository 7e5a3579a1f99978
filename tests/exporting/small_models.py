"""Small models of `StarForCausalLM`, their prompts, and generation with them."""

from typing import Any

import numpy as np
import torch

from star.genomes import Genome, ModelConfig, arrays, get_alphabet
from star.genomes.widths import fits
from star.models.hugging_face.causal_lm import StarConfig, StarForCausalLM

EXTENDED = get_alphabet("extended+operators")
VOCABULARY = 48
PADDING = 0  # which no prompt here holds


def disturbed(model: Any) -> Any:
    """No weight is zero or one any more."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    return model.eval()


def sizes(**given: Any) -> ModelConfig:
    return ModelConfig(**{"width": 32, "vocabulary": VOCABULARY, "window": 7, **given})


def random_genomes(count: int, seed: int) -> list[Genome]:
    letters = EXTENDED.restricted(c.name for c in EXTENDED.classes if fits(c, sizes()))
    rows = arrays.sample(count, 4, np.random.default_rng(seed), letters, 0.5)
    return [Genome.from_array(livs.reshape(-1), letters) for livs in rows]


def ours(genome: Genome, **given: Any) -> StarForCausalLM:
    torch.manual_seed(0)
    own = vars(sizes(**given))
    return disturbed(StarForCausalLM(StarConfig(str(genome), genome.alphabet.name, **own)))


def prompts(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens padded on the left, and their mask."""
    most = max(lengths)
    random = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, VOCABULARY, (len(lengths), most), generator=random)
    mask = (torch.arange(most) >= most - torch.tensor(lengths)[:, None]).long()
    return tokens * mask, mask


def generated(model: Any, tokens: torch.Tensor, mask: torch.Tensor, **how: Any) -> Any:
    how = {"max_new_tokens": 64, "do_sample": False, "pad_token_id": PADDING, **how}
    return model.generate(tokens, attention_mask=mask, **how)
