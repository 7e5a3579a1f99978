"""Timing that other work on the machine disturbs as little as can be.

Whatever else runs only adds time, so repeats of the same work count by their fastest; how far the
samples lie apart says how much was added.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work."""

    fastest: float  # of the repeats, and of several pieces the median
    p95: float  # the 95th percentile of all samples, disturbed ones included
    spread: float  # their interquartile range as a share of their median


@contextmanager
def quiet(threads: int) -> Iterator[None]:
    """No garbage collection, and so many threads of PyTorch, as before when it ends."""
    collects, before = gc.isenabled(), torch.get_num_threads()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if collects:
            gc.enable()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, everything that it started on the device finished."""
    _finish(device)
    begin = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - begin


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summarise(samples: np.ndarray) -> Timing:
    """From samples in seconds, (repeats, pieces): each repeat does the same pieces again."""
    low, middle, high, late = np.percentile(samples, [25, 50, 75, 95])
    fastest = float(np.median(samples.min(axis=0)))
    return Timing(fastest, float(late), float((high - low) / middle))
