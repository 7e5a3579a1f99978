"""Decoding: a genome to a language model of pre-norm residual LIVs, `x <- x + LIV(RMSNorm(x))`."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import Genome, LivClass, LivSharing, ModelConfig, check_fits
from star.genomes.model_config import inner_width

from .cache import Cache, Memory
from .featurizer import INITIAL_STD, Features, Featurizer, build_group, linear
from .structures import STATE, STRUCTURE_MODULES


class LivModule(nn.Module):
    """One linear input-varying operator: norm, featurizer, structure, output projection."""

    def __init__(
        self,
        index: int,
        liv_class: LivClass,
        sharing: LivSharing,
        model: ModelConfig,
        shallower: list["LivModule"],
        depth: int,
    ) -> None:
        super().__init__()
        self.index = index
        self.sharing = sharing
        # Linear attention's sum of B V comes with B and V together.
        self.borrowed = (
            (*sharing.borrowed, STATE) if {"B", "V"} <= set(sharing.borrowed) else sharing.borrowed
        )
        self.norm = nn.RMSNorm(model.width, eps=model.norm_eps)
        groups: dict[str, nn.ModuleList] = {}
        for group in liv_class.operator.groups:
            owner = sharing.weight_owner.get(group.name)
            if owner == index:
                groups[group.name] = build_group(group, liv_class, model)
            elif owner is not None:
                tied = shallower[owner].featurizer.groups[group.name]
                assert isinstance(tied, nn.ModuleList)
                groups[group.name] = tied
        self.featurizer = Featurizer(groups)
        operator = liv_class.operator
        self.structure = STRUCTURE_MODULES[operator.token_mixing, operator.channel_mixing](
            liv_class, model, index
        )
        self.output = linear(
            inner_width(liv_class, model.width), model.width, std=INITIAL_STD / depth**0.5
        )

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """Buffers that generation needs for this LIV, without the batch axis."""
        return self.featurizer.memory_shapes() | self.structure.memory_shapes(
            context, self.sharing.borrowed
        )

    def forward(
        self, x: torch.Tensor, owner: Features, memory: Memory | None = None
    ) -> tuple[torch.Tensor, Features]:
        """The residual update of x (batch, length, width), of that shape, and this LIV's features.

        owner: the features of the LIV it borrows from. memory: what generation remembers of earlier
        positions.
        """
        borrowed = {name: owner[name] for name in self.borrowed if name in owner}
        features = self.featurizer(self.norm(x), borrowed, memory)
        features = self.structure.extend(features, self.featurizer.groups.keys(), memory)
        return self.output(self.structure(features, memory)), features


class LanguageModel(nn.Module):
    """Embedding, backbone of LIVs, final norm and head."""

    def __init__(self, genome: Genome, model: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(model.vocabulary, model.width)
        nn.init.normal_(self.embedding.weight, std=INITIAL_STD)
        livs: list[LivModule] = []
        for index, (liv_class, sharing) in enumerate(
            zip(genome.classes(), genome.sharing, strict=True)
        ):
            livs.append(LivModule(index, liv_class, sharing, model, livs, genome.depth))
        self.livs = nn.ModuleList(livs)
        self.norm = nn.RMSNorm(model.width, eps=model.norm_eps)
        self.head = None if model.tie_embeddings else linear(model.width, model.vocabulary)
        self._owners = {s.feature_owner for s in genome.sharing if s.borrowed}

    @property
    def blocks(self) -> list[LivModule]:
        """The LIVs, shallowest first."""
        return cast(list[LivModule], list(self.livs))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary)."""
        return self._run(tokens, [None] * len(self.livs))

    @torch.inference_mode()
    def prefill(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        """The same for the next tokens int64 (batch, length) of the sequences in the cache, in
        parts of any length.

        Raises ValueError when they exceed the cache's context or are not of its batch.
        """
        cache.check_room(*tokens.shape)
        logits = self._run(tokens, cache.memories)
        cache.advance(tokens.shape[1])
        return logits

    def step(self, token: torch.Tensor, cache: Cache) -> torch.Tensor:
        """One token int64 (batch,) of each sequence to the logits (batch, vocabulary) of the next;
        as `prefill`."""
        return self.prefill(token[:, None], cache)[:, 0]

    def memory_shapes(self, context: int) -> list[dict[str, tuple[int, ...]]]:
        """For each LIV the buffers that generation needs at that context, without the batch
        axis."""
        return [liv.memory_shapes(context) for liv in self.blocks]

    def placement(self) -> torch.Tensor:
        """The embedding's weight: tells the model's dtype and device."""
        return self.embedding.weight

    def _run(self, tokens: torch.Tensor, memories: Sequence[Memory | None]) -> torch.Tensor:
        x = self.embedding(tokens)
        owned: dict[int, Features] = {}
        for liv, memory in zip(self.blocks, memories, strict=True):
            update, features = liv(x, owned.get(liv.sharing.feature_owner, {}), memory)
            if liv.index in self._owners:
                owned[liv.index] = features
            x = x + update
        x = self.norm(x)
        return F.linear(x, self.embedding.weight) if self.head is None else self.head(x)


def decode(genome: Genome, model: ModelConfig) -> LanguageModel:
    """Build the language model of a genome, with fresh weights from torch's global generator.

    The architecture is a pure function of its arguments; `torch.manual_seed` before the call fixes
    the weights. Raises `GenomeError` for an invalid genome or a width it cannot have.
    """
    check_fits(genome, model)
    return LanguageModel(genome, model)
