"""The sizes a genome is decoded at. Widths derived from them are in `widths.py`."""

from dataclasses import dataclass, fields
from typing import Any

from .errors import GenomeError

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
HEAD_WIDTH = 64
NARROW = 256  # below this width the head width is a quarter of the width


@dataclass
class ModelConfig:
    """Everything but the genome that decides a model's parameters and cache.

    width: model width d. vocabulary: number of tokens. window: positions that banded operators see.
    tie_embeddings: one matrix for embedding and head. rope_base: base of the rotary position
    embedding. norm_eps: epsilon of every RMSNorm.
    """

    width: int = 64
    vocabulary: int = 256
    window: int = 64
    tie_embeddings: bool = True
    rope_base: float = 10000.0
    norm_eps: float = 1e-6

    def check(self) -> None:
        """Raise `GenomeError` when a size cannot be built."""
        _check_width("width", self.width)
        for name in ("vocabulary", "window"):
            if getattr(self, name) < 1:
                raise GenomeError(f"model.{name}={getattr(self, name)}: expected at least 1")

    def when_trained(self) -> "ModelConfig":
        """The sizes that a candidate of a search is trained at: these."""
        return self


@dataclass
class SearchModelConfig(ModelConfig):
    """The sizes of a search, whose candidates may be trained narrower than what they are meant for.

    width: what costs are counted at. search_width: what candidates are trained at; None for
    `width`.
    """

    search_width: int | None = None

    def check(self) -> None:
        """Raise `GenomeError` when a size cannot be built."""
        super().check()
        if self.search_width is not None:
            _check_width("search_width", self.search_width)

    def when_trained(self) -> ModelConfig:
        """The sizes that a candidate is trained at."""
        width = self.width if self.search_width is None else self.search_width
        sizes: dict[str, Any] = {
            field.name: getattr(self, field.name) for field in fields(ModelConfig)
        }
        return ModelConfig(**{**sizes, "width": width})


def _check_width(name: str, width: int) -> None:
    multiple = HEAD_WIDTH if width >= NARROW else 16
    if width < 16 or width % multiple:
        raise GenomeError(
            f"model.{name}={width}: expected a multiple of 16 below {NARROW}, of {HEAD_WIDTH} from "
            f"there on"
        )


def head_width(width: int) -> int:
    """Width of one attention head: 64, or a quarter of a width below 256."""
    return HEAD_WIDTH if width >= NARROW else width // 4


@dataclass
class CacheSetting:
    """What generation is prepared for, when its cache is counted."""

    context: int = 4096  # positions held
    batch: int = 1  # sequences
    dtype: str = "bfloat16"  # of the elements

    def check(self) -> None:
        """Raise `GenomeError` naming the key, its value and what was expected."""
        for name in ("context", "batch"):
            if getattr(self, name) < 1:
                raise GenomeError(
                    f"cache.{name}={getattr(self, name)}: expected a whole number of at least 1"
                )
        if self.dtype not in DTYPE_BYTES:
            raise GenomeError(f"cache.dtype={self.dtype}: expected one of {', '.join(DTYPE_BYTES)}")
