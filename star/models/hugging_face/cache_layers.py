"""What LIVs remember as layers of a cache of Hugging Face `transformers`, one layer a LIV.

Importing this module registers `LivLayer`, so that `DynamicCache(config=model.config)` and
`StaticCache` have such layers. `causal_lm` is the model that writes them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import (
    STATIC_LAYER_TYPE_MAPPING,
    CacheLayerMixin,
    DynamicLayer,
)
from transformers.cache_utils import Cache as LayeredCache

from ..cache import Cache, Memory, is_croppable
from ..language_model import LanguageModel

LAYER_TYPE = "star_liv"  # in `layer_types` of a configuration


@dataclass
class Group:
    """Sequences of a batch whose first tokens are in one column, and what a LIV remembers of them.

    Sequences that begin later have padding on their left, which is nowhere remembered.
    """

    rows: list[int]
    start: int  # the column
    memory: Memory


class LivLayer(CacheLayerMixin):
    """What one LIV remembers of a batch of sequences, in the buffers of `star.models.cache`.

    Attributes:
        context: columns that room is made for at first.
        columns: that were seen, padding included.
        groups: sequences by their first column; one that is padding so far is in none.
    """

    _layer_type = LAYER_TYPE
    supports_early_init = False  # the shapes of buffers follow from a LIV, not from keys

    def __init__(self, max_cache_len: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context = max_cache_len
        self.batch = self.columns = 0
        self.groups: list[Group] = []

    def begin(self, batch: int, croppable: bool, device: torch.device) -> None:
        """Make it that of a batch of which no column was seen.

        Args:
            batch: sequences.
            croppable: whether the last columns can be taken back, of this and all other layers.
            device: of the buffers.
        """
        self.batch, self.device = batch, device
        self.is_croppable, self.is_initialized = croppable, True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Raises ValueError: there are no keys and values that its buffers could follow from."""
        raise ValueError("a LIV's cache is begun and written by StarForCausalLM alone")

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Raises ValueError, as `lazy_initialization`."""
        raise ValueError("a LIV's cache is begun and written by StarForCausalLM alone")

    def get_seq_length(self) -> int:
        """Columns that were seen."""
        return self.columns

    def get_max_length(self) -> int:
        """-1: it grows."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that a mask of the next ones would be of, and the first of them."""
        return self.columns + query_length, 0

    def reset(self) -> None:
        """Forget everything, the batch's size too."""
        self.batch = self.columns = 0
        self.groups, self.is_initialized = [], False

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last columns.

        Args:
            tokens_to_remove: minus their number, as in layers of transformers.

        Raises:
            ValueError: for a positive number, more columns than were seen, or a model that has
                running states or overwrites old positions.
        """
        if not -self.columns <= tokens_to_remove <= 0:
            raise ValueError(
                f"crop({tokens_to_remove}): expected minus the number of tokens to remove, of "
                f"{self.columns}"
            )
        if tokens_to_remove == 0:
            return
        if not self.is_croppable:
            raise ValueError(
                "crop: the model sums tokens up in states, or overwrites old ones, so that it "
                "cannot take any back; keep a copy.deepcopy of the cache from before them"
            )
        self.columns += tokens_to_remove
        self.groups = [group for group in self.groups if group.start < self.columns]
        for group in self.groups:
            group.memory.position = self.columns - group.start

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Sequence i becomes what sequence beam_idx[i] was."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Have each sequence so many times, one after another."""
        self._select(torch.arange(self.batch).repeat_interleave(repeats))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Have those sequences alone, in their order. Raises IndexError for one that is not."""
        self._select(torch.arange(self.batch)[indices.cpu()])

    def _select(self, order: torch.Tensor) -> None:
        chosen = order.tolist()
        if not self.is_initialized or chosen == list(range(self.batch)):
            return
        self.groups = [part for g in self.groups if (part := _selected(g, chosen)) is not None]
        self.batch = len(chosen)

    def offload(self) -> None:
        """Move the buffers to the CPU."""
        for group in self.groups:
            group.memory.to(torch.device("cpu"))

    def prefetch(self) -> None:
        """Move the buffers to where the model is."""
        for group in self.groups:
            if any(buffer.device != self.device for buffer in group.memory.buffers.values()):
                group.memory.to(self.device)


STATIC_LAYER_TYPE_MAPPING[LAYER_TYPE] = LivLayer  # they are allocated once for `max_cache_len`


def _selected(group: Group, chosen: Sequence[int]) -> Group | None:
    """Of the sequences `chosen` of a batch those that are in the group; None where none is."""
    places = {row: place for place, row in enumerate(group.rows)}
    rows = [number for number, row in enumerate(chosen) if row in places]
    if not rows:
        return None
    index = torch.tensor([places[chosen[row]] for row in rows])
    return Group(rows, group.start, group.memory.select(index))


def liv_layers(cache: LayeredCache, count: int) -> list[LivLayer]:
    """The layers of a cache, which a `DynamicCache()` gets here.

    Args:
        cache: of transformers.
        count: LIVs of the model.

    Raises:
        ValueError: for layers of another kind or number, or a cache that moves them by itself.
    """
    if cache.offloading:
        raise ValueError(
            "the cache is an offloaded one, which StarForCausalLM does not support; move it "
            "between calls by cache.layers[i].offload()"
        )
    if not cache.layers and cache.layer_class_to_replicate is DynamicLayer:
        cache.layers.extend(LivLayer() for _ in range(count))
    if len(cache.layers) != count or not all(isinstance(e, LivLayer) for e in cache.layers):
        raise ValueError(
            f"{type(cache).__name__} is not a cache of this model's {count} LIVs; make it by "
            "DynamicCache(config=model.config)"
        )
    return cast(list[LivLayer], cache.layers)


def reserve(cache: Any, columns: int) -> None:
    """Tell the layers of a cache how many columns there will be, so that they make room once."""
    for layer in cache.layers if isinstance(cache, LayeredCache) else ():
        if isinstance(layer, LivLayer):
            layer.context = max(layer.context, columns)


def advance(
    cache: LayeredCache, model: LanguageModel, tokens: torch.Tensor, starts: torch.Tensor
) -> torch.Tensor:
    """Logits (batch, columns, vocabulary) of the next tokens int64 (batch, columns), which the
    cache sees with that; those of padding are 0.

    Args:
        cache: with layers for the model's LIVs, or a `DynamicCache()`.
        model: whose memories they are.
        tokens: the next columns.
        starts: (batch,), the column of each sequence's first token, counted from the first column
            of all; used where none of its tokens was seen.

    Raises:
        ValueError: for a cache of another model or batch.
    """
    layers = liv_layers(cache, len(model.livs))
    batch, length = tokens.shape
    first = layers[0]
    if not first.is_initialized:
        croppable = is_croppable(model)
        for layer in layers:
            layer.begin(batch, croppable, model.device)
    if first.batch != batch:
        raise ValueError(f"the cache holds {first.batch} sequences, but tokens are of {batch}")
    seen, end = first.columns, first.columns + length
    _begin_groups(layers, model, starts, end)
    parts = []
    for rows, start, memories in _groups(layers, model, end):
        new = tokens if len(rows) == batch else tokens[rows]
        room = Cache(memories, len(rows), memories[0].context)
        parts.append((rows, model.prefill(new[:, max(0, start - seen) :], room)))
    for layer in layers:
        layer.columns = end
    return placed(parts, tokens, model)


def _begin_groups(
    layers: Sequence[LivLayer], model: LanguageModel, starts: torch.Tensor, end: int
) -> None:
    """Make room for sequences whose first token is among the columns before `end`."""
    first = layers[0]
    known = {row for group in first.groups for row in group.rows}
    if len(known) == first.batch:
        return
    by_start: dict[int, list[int]] = {}
    for row, start in enumerate(starts.tolist()):
        if row not in known and start < end:
            by_start.setdefault(max(start, first.columns), []).append(row)
    for start, rows in sorted(by_start.items()):
        context = _room(first.context, end) - start
        memories = Cache.allocate(model, len(rows), context).memories
        for layer, memory in zip(layers, memories, strict=True):
            layer.groups.append(Group(rows, start, memory))


def _groups(
    layers: Sequence[LivLayer], model: LanguageModel, end: int
) -> Iterator[tuple[list[int], int, list[Memory]]]:
    """Rows, first column and memories, on the model's device, of each group, with room for the
    columns before `end`."""
    for layer in layers:
        layer.prefetch()
    for number, group in enumerate(layers[0].groups):
        memories = [layer.groups[number].memory for layer in layers]
        if memories[0].context < end - group.start:
            context = _room(layers[0].context, end) - group.start
            for memory, shapes in zip(memories, model.memory_shapes(context), strict=True):
                memory.enlarge(shapes, context)
        yield group.rows, group.start, memories


def _room(context: int, columns: int) -> int:
    """The context, or the next power of two: a cache that doubles copies each column about once."""
    return context if context >= columns else 1 << (columns - 1).bit_length()


def placed(
    parts: Sequence[tuple[list[int], torch.Tensor]], tokens: torch.Tensor, model: LanguageModel
) -> torch.Tensor:
    """Logits of groups of rows as those of the batch, at its last columns; 0 elsewhere.

    Args:
        parts: rows, and their logits (rows, columns or fewer, vocabulary).
        tokens: (batch, columns), of the batch.
        model: whose logits they are.
    """
    if len(parts) == 1 and parts[0][1].shape[:2] == tokens.shape:
        return parts[0][1]
    like = parts[0][1] if parts else model.embedding.weight
    logits = like.new_zeros(*tokens.shape, model.embedding.num_embeddings)
    for rows, own in parts:
        logits[rows, tokens.shape[1] - own.shape[1] :] = own
    return logits
