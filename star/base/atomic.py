"""Whole files or nothing: write under a temporary name, flush to disk, move into place."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; tensors are copied to the CPU and must not share memory."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(on_cpu, dict(metadata)))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; a process killed at any instant leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
