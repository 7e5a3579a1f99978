"""A pretrained component in a hybrid: embedding, segments, final norm and head, one by one."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from star.base.imports import expect_installed
from star.genomes.hybrids import Component, ForeignComponent, GenomeComponent

from ..cache import Memory
from ..featurizer import Features
from ..language_model import LanguageModel

Shapes = list[dict[str, tuple[int, ...]]]
State = dict[int, Features]  # what later segments of one component may borrow, in one forward


class ComponentModule(Protocol):
    """What a hybrid asks of a component. An `nn.Module`."""

    def begin(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """tokens int64 (batch, length), of which the first is at a position, to (batch, length,
        width)."""
        ...

    def run(
        self, layers: range, x: torch.Tensor, state: State, memories: Sequence[Memory | None]
    ) -> torch.Tensor:
        """x (batch, length, width) behind these layers. memories: one for each of them."""
        ...

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, length, width) to logits (batch, length, vocabulary)."""
        ...

    def embedding_table(self) -> torch.Tensor:
        """The embedding, (vocabulary, width)."""
        ...

    def keep(self, layers: Sequence[int], begins: bool, finishes: bool) -> None:
        """Drop all other layers, and the embedding or the norm and head where they are not used."""
        ...

    def memory_shapes(self, layer: int, context: int) -> dict[str, tuple[int, ...]]:
        """Buffers of a layer that generation writes once, without the batch axis."""
        ...

    def state_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Running states of a layer, likewise."""
        ...


def finished(
    x: torch.Tensor, norm: nn.Module | None, head: nn.Module | None, embedding: nn.Embedding | None
) -> torch.Tensor:
    """x (batch, length, width) through the final norm to logits (batch, length, vocabulary): of the
    head, or without one of the embedding."""
    assert norm is not None
    x = norm(x)
    if head is not None:
        return head(x)
    assert embedding is not None
    return F.linear(x, embedding.weight)


class GenomeModule(nn.Module):
    """A component that is a genome."""

    def __init__(self, component: GenomeComponent) -> None:
        super().__init__()
        model = LanguageModel(component.genome, component.sizes)
        self.embedding: nn.Embedding | None = model.embedding
        self.livs = nn.ModuleDict({str(liv.index): liv for liv in model.livs})
        self.norm: nn.Module | None = model.norm
        self.head = model.head
        self._owners = {s.feature_owner for s in component.genome.sharing if s.borrowed}

    def keep(self, layers: Sequence[int], begins: bool, finishes: bool) -> None:
        """As `ComponentModule`."""
        kept = set(map(str, layers))
        for name in [name for name in self.livs if name not in kept]:
            del self.livs[name]
        is_tied = self.head is None
        if not begins and not (finishes and is_tied):
            self.embedding = None
        if not finishes:
            self.norm = self.head = None

    def embedding_table(self) -> torch.Tensor:
        """As `ComponentModule`."""
        assert self.embedding is not None
        return self.embedding.weight

    def begin(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """As `ComponentModule`."""
        assert self.embedding is not None
        return self.embedding(tokens)

    def run(
        self, layers: range, x: torch.Tensor, state: State, memories: Sequence[Memory | None]
    ) -> torch.Tensor:
        """As `ComponentModule`."""
        for index, memory in zip(layers, memories, strict=True):
            liv: Any = self.livs[str(index)]
            update, features = liv(x, state.get(liv.sharing.feature_owner, {}), memory)
            if index in self._owners:
                state[index] = features
            x = x + update
        return x

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """As `ComponentModule`."""
        return finished(x, self.norm, self.head, self.embedding)

    def memory_shapes(self, layer: int, context: int) -> dict[str, tuple[int, ...]]:
        """As `ComponentModule`."""
        liv: Any = self.livs[str(layer)]
        return liv.memory_shapes(context)

    def state_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """As `ComponentModule`."""
        liv: Any = self.livs[str(layer)]
        return liv.structure.state_shapes()


def build_component(component: Component) -> Any:
    """The module of a component, a `ComponentModule` with fresh weights. Raises `UserError` where
    transformers is missing for it, or its configuration cannot be used."""
    if isinstance(component, GenomeComponent):
        return GenomeModule(component)
    expect_installed(f"component {component.name}", "transformers")
    from .foreign import ForeignModule

    assert isinstance(component, ForeignComponent)
    return ForeignModule(component)
