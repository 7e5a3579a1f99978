"""What one evaluation may take in time and memory, how its memory is limited, and how its peak is
measured."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from star.base.errors import UserError
from star.base.settings import expect, parse_duration, parse_quantity

if sys.platform != "win32":
    import resource

IS_LINUX = sys.platform == "linux"
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # what to write to clear_refs, see proc(5)
AUTO = "auto"  # of `limits.seconds`


@dataclass
class LimitsConfig:
    """What one candidate may take."""

    # of its evaluation, such as 90s or 1h30m, the start of its worker not counted; null: no limit;
    # auto: far beyond the slowest so far, for those that hang (executors/patience.py)
    seconds: Any = AUTO
    memory: Any = None  # such as 4GB, beyond what a fresh worker holds: main memory (Linux), GPU
    retries: int = 1  # further attempts when its worker process dies

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        self.fixed_seconds()
        expect("limits.retries", self.retries, self.retries >= 0, "a whole number of at least 0")
        if self.memory_bytes() is not None and not (IS_LINUX or torch.cuda.is_available()):
            raise UserError(
                f"limits.memory={self.memory}: this system cannot limit memory, Linux can; use "
                "null here"
            )

    def fixed_seconds(self) -> float | None:
        """The time limit in seconds, None without one or for auto.

        Raises `UserError` for what is no duration.
        """
        if self.seconds is None or self.seconds == AUTO:
            return None
        return parse_duration("limits.seconds", self.seconds)

    def memory_bytes(self) -> int | None:
        """The memory limit in bytes. Raises `UserError` for what is no positive quantity."""
        if self.memory is None:
            return None
        limit = int(parse_quantity("limits.memory", self.memory))
        expect(
            "limits.memory", self.memory, limit >= 1, "a positive quantity, or null for no limit"
        )
        return limit


def _status_bytes(name: str) -> int:
    """A quantity of this process that Linux counts in kB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


class MemoryLimit:
    """The memory limit of a worker process, to be made when everything is imported.

    Main memory is limited by the size of the data segment, which counts what is written to and
    neither files nor the address space that CUDA reserves.
    """

    def __init__(self, limit: int | None, device: torch.device) -> None:
        """limit: bytes beyond what this process holds now; None limits nothing."""
        if limit is not None and device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
        self._largest = _status_bytes("VmData") + limit if limit is not None and IS_LINUX else None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it, an allocation beyond the limit fails; after it, a result or an error can be
        sent again."""
        if self._largest is None:
            yield
            return
        # Only the soft limit moves, since no process without privileges may raise a hard one again.
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        largest = self._largest if hard == resource.RLIM_INFINITY else min(self._largest, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (largest, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of the peak, where the system can."""
    if device.type == "cuda":
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats(device)
        return
    # Where there is no such file, or a container forbids it, the peak is that of the whole process.
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def peak_bytes(device: torch.device) -> int:
    """Peak memory since `reset_peak`, bytes: allocated tensors on a GPU, else what the process had
    resident.

    Outside Linux the latter is the peak since the process started; 0 where the system does not
    tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if IS_LINUX:
        return _status_bytes("VmHWM")
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_name(device: torch.device) -> str:
    """`cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
