"""PyTorch's random numbers from a seed, while those of the caller stay as they were.

What draws with a generator of its own needs nothing of this.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def kept_random_state(device: torch.device) -> AbstractContextManager[None]:
    """After it, the generators of the CPU and of the device are as they were before it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of the device, and of no other GPU: `torch.manual_seed`
    seeds those of all."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Both: within it, random numbers begin with the seed."""
    with kept_random_state(device):
        seed_generators(seed, device)
        yield
