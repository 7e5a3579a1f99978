"""A rung of successive halving: how far a candidate is trained, and where the state lies from which
it goes on."""

from dataclasses import dataclass
from pathlib import Path

from star.genomes import Genome


@dataclass(frozen=True)
class Rung:
    """Training up to `steps` optimiser steps, which may be all of the recipe's.

    states: folder of training states, one file a genome, from which the next rung goes on; None
    keeps none, and the next rung trains from the start.
    """

    steps: int
    states: Path | None = None

    def state(self, genome: Genome) -> Path | None:
        """Where the state of a genome's training lies, if it is kept."""
        return self.states / f"{genome.id}.safetensors" if self.states is not None else None
