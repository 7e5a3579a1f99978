"""The sizes a genome is decoded at. Widths derived from them are in `widths.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import GenomeError

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
HEAD_WIDTH = 64
NARROW = 256  # below this width the head width is a quarter of the width


@dataclass
class ModelConfig:
    """Everything but the genome that decides a model's parameters and cache."""

    width: int = 64  # of the model, d
    vocabulary: int = 256  # number of tokens
    window: int = 64  # positions that banded operators see
    tie_embeddings: bool = True  # one matrix for embedding and head
    rope_base: float = 10000.0  # of the rotary position embedding
    norm_eps: float = 1e-6  # of every RMSNorm

    def check(self) -> None:
        """Raise `GenomeError` when a size cannot be built."""
        check_width("width", self.width)
        for name in ("vocabulary", "window"):
            if getattr(self, name) < 1:
                raise GenomeError(f"model.{name}={getattr(self, name)}: expected at least 1")


def check_width(name: str, width: int) -> None:
    """Raise `GenomeError` naming the key for a width that no model has."""
    multiple = HEAD_WIDTH if width >= NARROW else 16
    if width < 16 or width % multiple:
        raise GenomeError(
            f"model.{name}={width}: expected a multiple of 16 below {NARROW}, of {HEAD_WIDTH} from "
            "there on"
        )


def head_width(width: int) -> int:
    """Width of one attention head: 64, or a quarter of a width below 256."""
    return HEAD_WIDTH if width >= NARROW else width // 4


def with_state_dtype(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a cache, of before running states had a dtype of their own as well."""
    return {**({"state_dtype": settings["dtype"]} if "dtype" in settings else {}), **settings}


@dataclass
class CacheSetting:
    """What generation is prepared for, when its cache is counted."""

    context: int = 4096  # positions held
    batch: int = 1  # sequences
    dtype: str = "bfloat16"  # of keys, values and last inputs
    state_dtype: str = "float32"  # of running states; bfloat16 halves and spoils them

    def check(self) -> None:
        """Raise `GenomeError` naming the key, its value and what was expected."""
        for name in ("context", "batch"):
            if getattr(self, name) < 1:
                raise GenomeError(
                    f"cache.{name}={getattr(self, name)}: expected a whole number of at least 1"
                )
        for name in ("dtype", "state_dtype"):
            value = getattr(self, name)
            if value not in DTYPE_BYTES:
                raise GenomeError(f"cache.{name}={value}: expected one of {', '.join(DTYPE_BYTES)}")
