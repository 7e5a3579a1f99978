"""Objectives of a search, one row each. All are minimised.

`static` objectives follow from the genome alone and are computed before any training; `trained`
ones are measured on the held-out sample after the short training.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from star.base.errors import UserError
from star.genomes import DTYPE_BYTES, Genome, ModelConfig, cache_bytes, parameter_count

STATIC, TRAINED = "static", "trained"


@dataclass
class CacheSetting:
    """What the cache objective counts: positions, sequences, dtype of the elements."""

    context: int = 4096
    batch: int = 1
    dtype: str = "bfloat16"

    def check(self) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        for name in ("context", "batch"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"cache.{name}={getattr(self, name)}: expected a whole number of at least 1"
                )
        if self.dtype not in DTYPE_BYTES:
            raise UserError(f"cache.dtype={self.dtype}: expected one of {', '.join(DTYPE_BYTES)}")


@dataclass(frozen=True)
class Objective:
    """A quantity to minimise: its name, unit and cost class; static ones carry the function that
    computes them."""

    name: str
    unit: str
    cost: str
    compute: Callable[[Genome, ModelConfig, CacheSetting], int] | None = None


def _parameters(genome: Genome, model: ModelConfig, cache: CacheSetting) -> int:
    return parameter_count(genome, model).non_embedding


def _cache_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting) -> int:
    return cache_bytes(genome, model, cache.context, cache.batch, cache.dtype)


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("validation_loss", "nats/token", TRAINED),
        Objective("bits_per_byte", "bits/byte", TRAINED),
        Objective("perplexity", "", TRAINED),
        Objective("parameters", "parameters", STATIC, _parameters),
        Objective("cache_bytes", "bytes", STATIC, _cache_bytes),
    )
}


def select_objectives(names: Sequence[str]) -> list[Objective]:
    """The named objectives, in order. Raises `UserError` for an unknown or repeated name, or for
    none."""
    available = ", ".join(OBJECTIVES)
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(f"search.objectives: {name!r} is unknown; available: {available}")
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"search.objectives={list(names)}: expected one or more different names of {available}"
        )
    return [OBJECTIVES[name] for name in names]


def static_metrics(genome: Genome, model: ModelConfig, cache: CacheSetting) -> Mapping[str, int]:
    """Every static quantity of a genome. Raises `GenomeError` when it is invalid or does not fit
    the sizes."""
    return {
        o.name: o.compute(genome, model, cache)
        for o in OBJECTIVES.values()
        if o.compute is not None
    }
