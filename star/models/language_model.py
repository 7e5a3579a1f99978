"""Decoding: a genome to a language model of residual LIVs, `x <- x + LIV(RMSNorm(x))`; or with the
norm behind the LIV, or with one on both sides (`ModelConfig.norms` or the genome's own
gene, `star.genomes.norms`)."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from star.genomes import Genome, LivClass, LivSharing, ModelConfig, check_fits
from star.genomes.norms import Norms, norms_of
from star.genomes.widths import inner_width

from .cache import Cache, Memory
from .featurizer import INITIAL_STD, Features, Featurizer, build_group, linear
from .structures import parts_of


class LivModule(nn.Module):
    """One linear input-varying operator: norms, featurizer, structure, output projection."""

    def __init__(
        self,
        index: int,
        liv_class: LivClass,
        sharing: LivSharing,
        groups: dict[str, nn.ModuleList],
        model: ModelConfig,
        norms: Norms,
        depth: int,
    ) -> None:
        """Build it.

        Args:
            index: its place in the backbone, from 0.
            liv_class: its operator, plain or differential.
            sharing: which features it borrows, and whose.
            groups: the modules of the feature groups that it computes itself.
            model: the sizes.
            norms: where it has one.
            depth: LIVs of the backbone; the deeper it is, the smaller each output begins.
        """
        super().__init__()
        self.index = index
        self.sharing = sharing
        self.norm: nn.Module = _norm(model, norms.before)
        self.output_norm = _norm(model, norms.behind)
        self.scale = model.residual_scale
        self.featurizer = Featurizer(groups)
        build = parts_of(liv_class.operator.structure).module
        self.structure = build(liv_class, model, index, sharing.borrowed)
        inner = inner_width(liv_class, model)
        self.output = linear(inner, model.width, std=INITIAL_STD / depth**0.5)

    def memory_shapes(self, context: int) -> dict[str, tuple[int, ...]]:
        """Buffers that generation writes once, without the batch axis."""
        return self.featurizer.memory_shapes() | self.structure.memory_shapes(context)

    def forward(
        self, x: torch.Tensor, owner: Features, memory: Memory | None = None
    ) -> tuple[torch.Tensor, Features]:
        """The residual update of x (batch, length, width), of that shape, and this LIV's features.

        owner: the features of the LIV it borrows from. memory: what generation remembers of earlier
        positions.
        """
        names = (*self.sharing.borrowed, *self.structure.inherited)
        borrowed = {name: owner[name] for name in names if name in owner}
        features = self.featurizer(self.norm(x), borrowed, memory)
        features = self.structure.prepare(features, 0 if memory is None else memory.position)
        if memory is not None:
            features = self.structure.remember(features, memory)
        update = self.output_norm(self.output(self.structure(features, memory)))
        return (update if self.scale == 1 else self.scale * update), features


def _norm(model: ModelConfig, wanted: bool) -> nn.Module:
    """An RMSNorm over the width, or what changes nothing."""
    return nn.RMSNorm(model.width, eps=model.norm_eps) if wanted else nn.Identity()


def _build_groups(
    index: int,
    liv_class: LivClass,
    sharing: LivSharing,
    model: ModelConfig,
    shallower: Sequence[LivModule],
) -> dict[str, nn.ModuleList]:
    """The feature groups that a LIV computes, by name: new modules, or those of the shallower LIV
    whose weights it uses."""
    forms = parts_of(liv_class.operator.structure).forms
    groups: dict[str, nn.ModuleList] = {}
    for group in liv_class.operator.groups:
        owner = sharing.weight_owner.get(group.name)
        if owner == index:
            groups[group.name] = build_group(group, liv_class, model, forms)
        elif owner is not None:
            tied = shallower[owner].featurizer.groups[group.name]
            assert isinstance(tied, nn.ModuleList)
            groups[group.name] = tied
    return groups


class LanguageModel(nn.Module):
    """Embedding, backbone of LIVs, final norm and head."""

    def __init__(self, genome: Genome, model: ModelConfig) -> None:
        super().__init__()
        model = genome.sizes(model)
        self.embedding = nn.Embedding(model.vocabulary, model.width)
        nn.init.normal_(self.embedding.weight, std=INITIAL_STD)
        livs: list[LivModule] = []
        places = norms_of(genome.classes(), model.norms)
        for index, (liv_class, sharing, norms) in enumerate(
            zip(genome.classes(), genome.sharing, places, strict=True)
        ):
            groups = _build_groups(index, liv_class, sharing, model, livs)
            livs.append(LivModule(index, liv_class, sharing, groups, model, norms, genome.depth))
        self.livs = cast(Sequence[LivModule], nn.ModuleList(livs))
        self.norm = nn.RMSNorm(model.width, eps=model.norm_eps)
        self.head = None if model.tie_embeddings else linear(model.width, model.vocabulary)
        self._owners = {s.feature_owner for s in genome.sharing if s.borrowed}

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary)."""
        return self._run(tokens, [None] * len(self.livs))

    @torch.no_grad()
    def prefill(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Logits (batch, length, vocabulary) of the next tokens int64 (batch, length) of the
        sequences in the cache, given in parts of any length.

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
        """For each LIV the buffers that generation writes once, without the batch axis."""
        return [liv.memory_shapes(context) for liv in self.livs]

    def state_shapes(self) -> list[dict[str, tuple[int, ...]]]:
        """For each LIV the running states of generation, without the batch axis."""
        return [liv.structure.state_shapes() for liv in self.livs]

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        return self.embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """That of the weights."""
        return self.embedding.weight.device

    def _run(self, tokens: torch.Tensor, memories: Sequence[Memory | None]) -> torch.Tensor:
        x = self.embedding(tokens)
        owned: dict[int, Features] = {}
        for liv, memory in zip(self.livs, memories, strict=True):
            update, features = liv(x, owned.get(liv.sharing.feature_owner, {}), memory)
            if liv.index in self._owners:  # the features of the others can be freed
                owned[liv.index] = features
            x = x + update
        x = self.norm(x)
        return F.linear(x, self.embedding.weight) if self.head is None else self.head(x)


def decode(genome: Genome, model: ModelConfig) -> LanguageModel:
    """Build the language model of a genome, with fresh weights from torch's global generator.

    The architecture is a pure function of its arguments; `torch.manual_seed` before the call fixes
    the weights. Those of a hybrid are what its components were trained to (`star.models.hybrid`).
    Raises `GenomeError` for an invalid genome or a width it cannot have.
    """
    check_fits(genome, model)
    if genome.alphabet.hybrid is not None:
        from .hybrid import decode_hybrid

        return decode_hybrid(genome)
    return LanguageModel(genome, model)
