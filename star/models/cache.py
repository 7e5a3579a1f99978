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
        memories = [
            Memory(
                memory.context,
                {name: buffer[index.to(buffer.device)] for name, buffer in memory.buffers.items()},
                dict(memory.tables),
                memory.position,
            )
            for memory in self.memories
        ]
        return Cache(memories, len(index), self.context)

    def _index(self, rows: Sequence[int] | torch.Tensor) -> torch.Tensor:
        index = torch.as_tensor(rows, dtype=torch.long).reshape(-1)
        if not len(index) or int(index.min()) < 0 or int(index.max()) >= self.batch:
            raise ValueError(
                f"sequences {index.tolist()}: expected indices from 0 to {self.batch - 1}"
            )
        return index
