"""Weights in a hybrid's folder, which are those that its file has the digests of."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from star.base.errors import UserError
from star.base.files import read_tensors
from star.genomes.hybrids import FILE

DIGEST = "digest"  # of weights, in the metadata of their file


def digest_of(weights: Mapping[str, torch.Tensor]) -> str:
    """A hash of weights: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].detach().cpu().contiguous().float().numpy().tobytes())
    return found.hexdigest()[:16]


def read_own(path: Path, digest: str) -> Mapping[str, torch.Tensor]:
    """Weights of a hybrid's folder. Raises `UserError` for others than those of a digest.

    digest: of the hybrid's file; empty where it has none.
    """
    found, _ = read_tensors(path)
    there = digest_of(found) if digest else ""
    if there != digest:
        raise UserError(
            f"{path}: its weights have digest {there}, expected {digest} as {FILE} says; make the "
            "hybrid anew"
        )
    return found


def holds(path: Path, digest: str) -> bool:
    """Whether weights of a digest are there."""
    try:
        return digest_of(read_tensors(path)[0]) == digest
    except UserError:  # there are none, or they are damaged
        return False
