"""Weights in safetensors files: read, checked against a model, copied. Nothing is unpickled."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from star.base.errors import UserError


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every weight once; tied ones under the name of their owner."""
    return dict(model.named_parameters())


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises `UserError` when it cannot be read as
    one."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: not readable as safetensors ({' '.join(str(error).split())})"
        ) from None


def copy_weights(model: nn.Module, found: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors named as in `named_weights` into the model, in place.

    Raises `UserError` naming `path` and the first weight that is missing, unknown or of another
    shape.
    """
    wanted = named_weights(model)
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is unknown to it" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(weight.shape)}"
        for name, weight in wanted.items()
        if name in found and found[name].shape != weight.shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"{path}: does not fit the genome and the sizes beside it: {problems[0]}{more}"
        )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(found[name])
