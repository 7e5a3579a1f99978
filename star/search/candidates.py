"""Candidates of a search: a genome with where it came from and how its evaluation ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from star.evaluation.result import STOPPED, Evaluation
from star.genomes import Genome, GenomeFile
from star.runs.names import composition

BASELINE, SEED, RANDOM, OFFSPRING = "baseline", "seed", "random", "offspring"


@dataclass(frozen=True)
class Candidate:
    """A genome to evaluate, and where it came from."""

    genome: Genome
    origin: str  # BASELINE, SEED, RANDOM or OFFSPRING
    generation: int  # from 0
    parents: tuple[str, ...] = ()  # genome ids
    variation: Mapping[str, Any] = field(default_factory=dict)  # what made it of its parents


@dataclass(frozen=True)
class Evaluated:
    """A candidate with its evaluation."""

    candidate: Candidate
    evaluation: Evaluation
    seed: int  # of its weights and batches
    train_tokens: int = 0  # until it was measured, 0 when it was not
    seeds: int = 1  # that its metrics are means over: `seed` and those that follow it

    @property
    def genome_id(self) -> str:
        """Content hash of the canonical genome."""
        return self.candidate.genome.id

    @property
    def is_stopped(self) -> bool:
        """Whether successive halving stopped it, so that it was not trained to the end."""
        return self.evaluation.status == STOPPED

    @property
    def is_baseline(self) -> bool:
        """Whether it is there for comparison."""
        return self.candidate.origin == BASELINE

    def row(self, rank: int | None = None) -> dict[str, Any]:
        """The candidate as a row of `population.csv`: its columns but for the metrics' order."""
        candidate, evaluation = self.candidate, self.evaluation
        return {
            "genome_id": self.genome_id,
            "composition": composition(candidate.genome),
            "generation": candidate.generation,
            "origin": candidate.origin,
            "parents": " ".join(candidate.parents),
            "variation": json.dumps(dict(candidate.variation)) if candidate.variation else "",
            "genome": candidate.genome.to_text(),
            "status": evaluation.status,
            "reason": evaluation.reason,
            **evaluation.metrics,
            "train_tokens": self.train_tokens,
            "train_seconds": round(evaluation.train_seconds, 3),
            "seed": self.seed,
            "seeds": self.seeds,
            "rank": "" if rank is None else rank,
        }


def genome_file(evaluated: Evaluated, settings: dict[str, Any]) -> GenomeFile:
    """The content of its genome file in a run folder. settings: of the search, by section."""
    candidate = evaluated.candidate
    return GenomeFile(
        name=evaluated.genome_id,
        genome=candidate.genome,
        notes=f"{candidate.origin} of generation {candidate.generation}",
        metrics=dict(evaluated.evaluation.metrics),
        parents=list(candidate.parents),
        settings=settings,
    )
