"""Files: whole or not at all when written, checked when read. Nothing that is read is unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from star.base.errors import UserError, plain
from star.base.reading import is_file, kind_of

if TYPE_CHECKING:
    import torch
    from torch import nn


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with names of files that are not UTF-8 as they are."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; a process killed at any instant leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; tensors are copied to the CPU and must not share memory."""
    from safetensors.torch import save  # brings torch, which text files do without

    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises `UserError` when it cannot be read."""
    from safetensors import SafetensorError, safe_open

    if not is_file(path):
        raise UserError(f"{path}: is {kind_of(path) or 'missing'}, expected a file")
    try:
        path.open("rb").close()  # safetensors calls a file missing that may not be read
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({plain(error)})") from None


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every weight once; tied ones under the name of their owner."""
    return dict(model.named_parameters())


def copy_weights(model: nn.Module, found: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors named as in `named_weights` into the model, in place.

    Raises `UserError` naming `path` and the first weight that is missing, unknown or of another
    shape.
    """
    import torch

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
