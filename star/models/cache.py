"""The generation cache: what each LIV remembers of earlier positions, owners only.

A module names the buffers it needs (`memory_shapes`, `state_shapes`); nothing here knows an
operator. `star.genomes.costs` predicts the same bytes from the genome alone, and a test compares
the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch


class Cacheable(Protocol):
    """A model that a cache can be allocated for."""

    def memory_shapes(self, context: int) -> list[dict[str, tuple[int, ...]]]:
        """For each LIV the buffers that are written once, without the batch axis."""
        ...

    def state_shapes(self) -> list[dict[str, tuple[int, ...]]]:
        """For each LIV the buffers that every position adds to, without the batch axis."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        ...

    @property
    def device(self) -> torch.device:
        """That of the weights."""
        ...


LONG = 1 << 30  # positions that no window and no convolution reaches


def is_croppable(model: Cacheable) -> bool:
    """Whether a cache can take its last positions back: no buffer of the model sums positions up or
    overwrites earlier ones, so that each has room for all of them."""
    if any(model.state_shapes()):
        return False
    shorter, longer = model.memory_shapes(LONG), model.memory_shapes(LONG + 1)
    return all(
        shapes[name] != more[name]
        for shapes, more in zip(shorter, longer, strict=True)
        for name in shapes
    )


@dataclass
class Memory:
    """What one LIV remembers of the first `position` positions.

    Tables are values that follow from the weights alone (implicit convolution kernels), kept so
    that a step need not compute them again.
    """

    context: int  # positions that there is room for
    buffers: dict[str, torch.Tensor]  # by name, batch first
    tables: dict[str, torch.Tensor] = field(default_factory=dict)  # one for the whole batch
    position: int = 0

    def select(self, rows: torch.Tensor) -> "Memory":
        """A new memory that holds copies of the sequences at these indices int64 (rows,)."""
        buffers = {name: buffer[rows.to(buffer.device)] for name, buffer in self.buffers.items()}
        return Memory(self.context, buffers, dict(self.tables), self.position)

    def to(self, device: torch.device) -> None:
        """Move the buffers, in place; tables are computed again where they are needed."""
        self.buffers = {name: buffer.to(device) for name, buffer in self.buffers.items()}
        self.tables.clear()

    def enlarge(self, shapes: dict[str, tuple[int, ...]], context: int) -> None:
        """Make room for more positions, in place.

        Args:
            shapes: of the buffers that are written once at that context, without the batch axis.
            context: positions that there will be room for.
        """
        # Buffers are written from their beginning, and a window that is full keeps its shape.
        for name, shape in shapes.items():
            small = self.buffers[name]
            if small.shape[1:] != shape:
                large = small.new_zeros(len(small), *shape)
                large[tuple(map(slice, small.shape))] = small
                self.buffers[name] = large
        self.tables.clear()
        self.context = context


class Cache:
    """The memories of all LIVs, for `batch` sequences of up to `context` positions.

    It belongs to one model with fixed weights. Buffers are allocated once, so memory is constant
    while generating.
    """

    def __init__(self, memories: list[Memory], batch: int, context: int) -> None:
        self.memories = memories
        self.batch = batch
        self.context = context

    @classmethod
    def allocate(
        cls,
        model: Cacheable,
        batch: int = 1,
        context: int = 4096,
        dtype: torch.dtype | None = None,
        state_dtype: torch.dtype = torch.float32,
    ) -> "Cache":
        """An empty cache on the model's device.

        Args:
            model: what it is for.
            batch: sequences.
            context: positions that there is room for.
            dtype: of what is written once, as keys and values are; None is that of the weights.
            state_dtype: of running states. In bfloat16, which keeps 8 bits, they stop growing:
                `CacheSetting` says what that costs.

        Raises:
            ValueError: for a batch or context below 1.
        """
        for name, value in (("batch", batch), ("context", context)):
            if value < 1:
                raise ValueError(f"cache {name}={value}: expected at least 1")
        dtype = model.dtype if dtype is None else dtype

        def zeros(shapes: dict[str, tuple[int, ...]], kind: torch.dtype) -> dict[str, torch.Tensor]:
            return {
                name: torch.zeros(batch, *shape, dtype=kind, device=model.device)
                for name, shape in shapes.items()
            }

        written, states = model.memory_shapes(context), model.state_shapes()
        memories = [
            Memory(context, zeros(shapes, dtype) | zeros(running, state_dtype))
            for shapes, running in zip(written, states, strict=True)
        ]
        return cls(memories, batch, context)

    @property
    def position(self) -> int:
        """How many positions have been seen."""
        return self.memories[0].position

    @property
    def liv_nbytes(self) -> list[int]:
        """Bytes allocated for each LIV."""
        return [
            sum(buffer.nbytes for buffer in memory.buffers.values()) for memory in self.memories
        ]

    @property
    def nbytes(self) -> int:
        """Bytes allocated for all buffers, without the tables, which follow from the weights."""
        return sum(self.liv_nbytes)

    @property
    def table_nbytes(self) -> int:
        """Bytes of the tables computed from the weights so far."""
        return sum(table.nbytes for memory in self.memories for table in memory.tables.values())

    def check_room(self, batch: int, positions: int) -> None:
        """Raise ValueError unless `positions` more tokens of `batch` sequences fit."""
        if batch != self.batch:
            raise ValueError(
                f"the cache holds {self.batch} sequences, but tokens of {batch} were given"
            )
        if self.position + positions > self.context:
            raise ValueError(
                f"{positions} tokens at position {self.position} exceed the cache's context of "
                f"{self.context}; "
                "allocate it with a larger one"
            )

    def advance(self, positions: int) -> None:
        """Count positions that every LIV has written."""
        for memory in self.memories:
            memory.position += positions

    def reset(self) -> None:
        """Forget everything, tables included; nothing is allocated anew."""
        for memory in self.memories:
            memory.position = 0
            memory.tables.clear()
            for buffer in memory.buffers.values():
                buffer.zero_()

    def reorder(self, order: Sequence[int] | torch.Tensor) -> None:
        """Replace sequence i by sequence order[i], in place, as beam search does.

        Raises ValueError unless order holds `batch` indices of sequences.
        """
        index = self._index(order)
        if len(index) != self.batch:
            raise ValueError(f"reorder: {len(index)} indices for a batch of {self.batch}")
        for memory in self.memories:
            for (
                buffer
            ) in memory.buffers.values():  # indexing copies, so nothing is overwritten early
                buffer.copy_(buffer[index.to(buffer.device)])

    def slice(self, rows: Sequence[int] | torch.Tensor) -> "Cache":
        """A new cache that holds copies of these sequences. Raises ValueError for none or one that
        does not exist."""
        index = self._index(rows)
        memories = [memory.select(index) for memory in self.memories]
        return Cache(memories, len(index), self.context)

    def _index(self, rows: Sequence[int] | torch.Tensor) -> torch.Tensor:
        index = torch.as_tensor(rows, dtype=torch.long).reshape(-1)
        if not len(index) or int(index.min()) < 0 or int(index.max()) >= self.batch:
            raise ValueError(
                f"sequences {index.tolist()}: expected indices from 0 to {self.batch - 1}"
            )
        return index
