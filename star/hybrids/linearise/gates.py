"""Gates between attention and branches: `y = (1 - g) attention + g branch`, `g = sigmoid(alpha)`,
one for each unit."""

import copy
import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from star.hybrids.linearise.plan import Plan
from star.models import LanguageModel
from star.models.cache import Memory
from star.models.featurizer import Features
from star.models.language_model import LivModule


class Gates(nn.Module):
    """One number a unit: 0 is the attention alone, 1 the branch alone."""

    def __init__(self, plan: Plan, initial: float) -> None:
        """plan: names the units. initial: value of all gates, between 0 and 1."""
        super().__init__()
        logit = math.log(initial / (1 - initial))
        self.alpha = nn.Parameter(torch.full((len(plan.units),), logit))
        self.numbers = {n: number for number, unit in enumerate(plan.units) for n in unit.livs}
        saved = [unit.saved_bytes / plan.original_bytes for unit in plan.units]
        self.register_buffer("saved", torch.tensor(saved), persistent=False)

    def forward(self) -> torch.Tensor:
        """The gates, float32 (units,)."""
        return torch.sigmoid(self.alpha)

    def expected_share(self) -> torch.Tensor:
        """Bytes of cache, as a share of the original's, if each unit were replaced with its gate as
        the probability; a scalar."""
        saved = cast(torch.Tensor, self.saved)
        return 1 - (self() * saved).sum()

    @property
    def importance(self) -> list[float]:
        """1 - g of each unit: how much of the attention is used."""
        return [float(1 - gate) for gate in self().detach()]


class GatedLiv(nn.Module):
    """An attention LIV and its branch, which is used as a `LivModule` is, in training only."""

    def __init__(self, attention: LivModule, branch: LivModule, gates: Gates) -> None:
        super().__init__()
        self.index, self.sharing = attention.index, attention.sharing
        self.attention, self.branch, self.gates = attention, branch, gates

    def forward(
        self, x: torch.Tensor, owner: Features, memory: Memory | None = None
    ) -> tuple[torch.Tensor, Features]:
        """The mixed update of x (batch, length, width), of that shape, and the attention's
        features, which others may borrow."""
        update, features = self.attention(x, owner)
        instead, _ = self.branch(x, {})
        gate = self.gates()[self.gates.numbers[self.index]].to(update.dtype)
        return (1 - gate) * update + gate * instead, features


def gated_model(
    original: LanguageModel, branches: Mapping[int, LivModule], gates: Gates
) -> LanguageModel:
    """The original with its branches. Weights are the very same ones; the original is not
    changed."""
    shared = {id(weights): weights for weights in original.parameters()}
    model = copy.deepcopy(original, dict(shared))
    livs = cast(nn.ModuleList, model.livs)
    for place, branch in branches.items():
        livs[place] = GatedLiv(model.livs[place], branch, gates)
    return model


def merged_weights(
    original: LanguageModel, branches: Mapping[int, LivModule]
) -> Mapping[str, torch.Tensor]:
    """Weights of the original by name, with those of branches in place of what they replace.

    Units are replaced as a whole, so that nothing that stays is tied to what goes.
    """
    gone = tuple(f"livs.{place}." for place in branches)
    kept = {name: w for name, w in original.named_parameters() if not name.startswith(gone)}
    new = {f"livs.{n}.{name}": w for n, b in branches.items() for name, w in b.named_parameters()}
    return {**kept, **new}
