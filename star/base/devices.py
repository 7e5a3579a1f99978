"""Devices by name: `auto` is CUDA where there is a GPU and the CPU elsewhere."""

import torch

from star.base.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def check_device(key: str, name: str) -> None:
    """Raise `UserError` naming the key for an unknown device, or for CUDA where there is none."""
    if name not in DEVICES:
        raise UserError(f"{key}={name}: expected one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{key}=cuda: no CUDA GPU is visible here; use device=auto or cpu")


def torch_device(name: str) -> torch.device:
    """The device of a checked name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
