"""The most memory that tensors take while something runs.

On a GPU the allocator counts. On a CPU no allocator does, and what a process holds resident is the
memory of everything that it ever did; so every storage is followed from the operator that makes it
to its end. What an operator takes and gives back within itself is not seen there.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class StoragePeak(TorchDispatchMode):
    """Within it, storages are counted; `peak` is the most bytes that lived at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._bytes = 0
        self._living: dict[int, int] = {}  # bytes by address of the storage

    def include(self, *tensors: torch.Tensor) -> None:
        """Count tensors that were there before."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            address = storage._cdata
            if address in self._living:
                continue
            self._living[address] = storage.nbytes()
            self._bytes += storage.nbytes()
            weakref.finalize(storage, self._ended, address)
        self.peak = max(self.peak, self._bytes)

    def _ended(self, address: int) -> None:
        self._bytes -= self._living.pop(address)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operator's result, whose storages are counted from here on."""
        result = func(*args, **(kwargs or {}))
        self.include(*(leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)))
        return result


def peak_of(work: Callable[[], object], held: Sequence[torch.Tensor], device: torch.device) -> int:
    """Bytes of tensors at the peak of some work.

    Args:
        work: what is done.
        held: tensors of before that belong to it; others do not count.
        device: where they are.
    """
    if device.type != "cuda":
        with StoragePeak() as counted:
            counted.include(*held)
            work()
        return counted.peak
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    others = torch.cuda.memory_allocated(device) - sum(tensor.nbytes for tensor in held)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - others
