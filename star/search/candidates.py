"""Candidates of a search: a genome with where it came from and how its evaluation ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from star.evaluation.evaluate import Evaluation
from star.genomes import Genome

BASELINE, SEED, RANDOM, OFFSPRING = "baseline", "seed", "random", "offspring"

COLUMNS: tuple[str, ...] = (
    "genome_id", "generation", "origin", "parents", "variation", "genome", "status", "reason", "validation_loss",
    "bits_per_byte", "perplexity", "parameters", "cache_bytes", "train_tokens", "train_seconds", "seed", "rank",
)  # fmt: skip
TIMING_COLUMNS = ("train_seconds",)
METRICS = ("validation_loss", "bits_per_byte", "perplexity", "parameters", "cache_bytes")


@dataclass(frozen=True)
class Candidate:
    """A genome to evaluate. generation counts from 0; parents are genome ids; variation is what
    made it of them."""

    genome: Genome
    origin: str
    generation: int
    parents: tuple[str, ...] = ()
    variation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """A candidate with its evaluation. train_tokens: training tokens until it was measured, 0 when
    it was not."""

    candidate: Candidate
    evaluation: Evaluation
    seed: int
    train_tokens: int = 0

    @property
    def genome_id(self) -> str:
        """Content hash of the canonical genome."""
        return self.candidate.genome.id

    def row(self, rank: int | None = None) -> dict[str, Any]:
        """The candidate as a row of `population.csv`; empty text where a value does not exist."""
        metrics = self.evaluation.metrics
        return {
            "genome_id": self.genome_id,
            "generation": self.candidate.generation,
            "origin": self.candidate.origin,
            "parents": " ".join(self.candidate.parents),
            "variation": json.dumps(dict(self.candidate.variation))
            if self.candidate.variation
            else "",
            "genome": self.candidate.genome.to_text(),
            "status": self.evaluation.status,
            "reason": self.evaluation.reason,
            **{name: metrics.get(name, "") for name in METRICS},
            "train_tokens": self.train_tokens,
            "train_seconds": round(self.evaluation.train_seconds, 3),
            "seed": self.seed,
            "rank": "" if rank is None else rank,
        }
