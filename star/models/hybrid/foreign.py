"""Components of families that no genome is: models of transformers, segment for segment.

A segment is the base model itself with the segment's layers alone, without embedding and final
norm, so that masks and rotary positions are theirs.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache as TheirCache
from transformers.cache_utils import DynamicLayer

from star.base.errors import UserError, plain, shown
from star.genomes.hybrids import ForeignComponent

from ..cache import Memory
from ..hugging_face.causal_lm import CACHE
from .components import State, finished
from .families import ADAPTERS, Parts, build_theirs, heads_of


class Nothing(nn.Module):
    """What adds nothing to an embedding."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """Zero, of none dimension, for positions of any shape."""
        return torch.zeros((), device=positions.device)


class KeptLayer(DynamicLayer):
    """Keys and values of one layer, in a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (batch, heads, length, width) at the position; all that there are
        up to the last."""
        return self._write("keys", key_states), self._write("values", value_states)

    def _write(self, name: str, new: torch.Tensor) -> torch.Tensor:
        begin, buffer = self.memory.position, self.memory.buffers[name]
        end = begin + new.shape[2]
        buffer[:, :, begin:end] = new.to(buffer.dtype)
        return buffer[:, :, :end].to(new.dtype)

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Positions that attention sees, and the first of them. query_length: a number, or
        positions in older versions of transformers."""
        new = query_length if isinstance(query_length, int) else len(query_length)
        return self.memory.position + new, 0

    def get_seq_length(self, *_: Any) -> int:
        """Positions seen before."""
        return self.memory.position


def kept(layers: range, memories: Sequence[Any], count: int) -> TheirCache:
    """The memories of some layers as a cache of theirs, in which every layer has a place."""
    own = [KeptLayer(memory) for memory in memories]
    places = [min(max(layer - layers.start, 0), len(own) - 1) for layer in range(count)]
    return TheirCache(layers=[own[place] for place in places])


def run_segment(base: Any, name: str, layers: Sequence[nn.Module], **given: Any) -> torch.Tensor:
    """What a base model of theirs makes of its inputs with some layers in place of its own.

    Args:
        base: the model, which stays as it is.
        name: the attribute of its layers.
        layers: those that are run.
        given: to the model, `inputs_embeds` (batch, length, width) among them.
    """
    own = copy(base)  # which shares all but the list of its modules
    own._modules = {**base._modules, name: nn.ModuleList(layers)}
    return own(**given).last_hidden_state


# torch.compile cannot follow the copy; what is around a segment is compiled.
_run_segment: Any = torch.compiler.disable(run_segment)


class ForeignModule(nn.Module):
    """A component of a family that no genome is, a `ComponentModule`."""

    def __init__(self, component: ForeignComponent) -> None:
        """Build it with fresh weights. Raises `UserError` for a configuration that cannot be
        used."""
        super().__init__()
        if component.family not in ADAPTERS:
            known = ", ".join(ADAPTERS)
            raise UserError(
                f"component {component.name}: family={component.family}: expected one of {known}"
            )
        self._component, self._adapter = component, ADAPTERS[component.family]
        try:
            theirs = build_theirs(component.family, component.config)
        except Exception as error:  # whatever their checks raise
            what = shown(plain(error))
            raise UserError(
                f"component {component.name}: its configuration cannot be used ({what})"
            ) from None
        parts = Parts.of(theirs, self._adapter)
        self.embedding: nn.Embedding | None = parts.embedding
        self.positions = parts.positions
        self.layers = nn.ModuleDict({str(n): layer for n, layer in enumerate(parts.layers)})
        self.norm: nn.Module | None = parts.norm
        self.head = parts.head
        self.base = self._emptied(getattr(theirs, self._adapter.base))
        _, self._heads, self._width = heads_of(component.family, theirs.config)

    def _emptied(self, base: Any) -> Any:
        """A base model of theirs without its weights."""
        for name in (self._adapter.embedding, self._adapter.norm):
            setattr(base, name, nn.Identity())
        if self._adapter.positions:
            setattr(base, self._adapter.positions, Nothing())
        setattr(base, self._adapter.layers, nn.ModuleList())
        return base

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "ForeignModule":
        """As any module's, but frequencies of rotary positions stay in float32."""
        before = dict(self.base.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            path, _, last = name.rpartition(".")
            owner = self.base.get_submodule(path)
            setattr(owner, last, buffer.to(getattr(owner, last).device))
        return self

    def keep(self, layers: Sequence[int], begins: bool, finishes: bool) -> None:
        """As `ComponentModule`; positions stay with the embedding."""
        dropped = set(self.layers) - set(map(str, layers))
        for name in dropped:
            del self.layers[name]
        is_tied = self.head is None
        if not begins and not (finishes and is_tied):
            self.embedding = self.positions = None
        if not finishes:
            self.norm = self.head = None

    def embedding_table(self) -> torch.Tensor:
        """As `ComponentModule`."""
        assert self.embedding is not None
        return self.embedding.weight

    def begin(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
        """As `ComponentModule`. Raises `UserError` for more positions than it knows."""
        assert self.embedding is not None
        x = self.embedding(tokens)
        if self.positions is None:
            return x
        end, most = position + tokens.shape[1], self.positions.num_embeddings
        if end > most:
            raise UserError(
                f"component {self._component.name} knows {most:,} positions, not {end:,}; use a "
                "shorter context"
            )
        return x + self.positions(torch.arange(position, end, device=tokens.device))

    def run(
        self, layers: range, x: torch.Tensor, state: State, memories: Sequence[Memory | None]
    ) -> torch.Tensor:
        """As `ComponentModule`."""
        is_kept = memories[0] is not None
        given = {CACHE: kept(layers, memories, self._component.layers)} if is_kept else {}
        segment = [self.layers[str(layer)] for layer in layers]
        return _run_segment(
            self.base, self._adapter.layers, segment, inputs_embeds=x, use_cache=is_kept, **given
        )

    def finish(self, x: torch.Tensor) -> torch.Tensor:
        """As `ComponentModule`."""
        return finished(x, self.norm, self.head, self.embedding)

    def whole(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to logits (batch, length, vocabulary), by itself."""
        layers = range(len(self.layers))
        x = self.run(layers, self.begin(tokens, 0), {}, [None] * len(layers))
        return self.finish(x)

    def memory_shapes(self, layer: int, context: int) -> dict[str, tuple[int, ...]]:
        """As `ComponentModule`."""
        return dict.fromkeys(("keys", "values"), (self._heads, context, self._width))

    def state_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """None."""
        return {}
