"""A search whose objectives are functions of the genome, by the same loop that a real one takes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from pymoo.core.algorithm import Algorithm

from star.evaluation import Evaluation, select_objectives
from star.evaluation.evaluate import infeasible
from star.genomes import Genome
from star.search.algorithms.build import build_algorithm, check_search
from star.search.archive import Archive
from star.search.config import SearchConfig
from star.search.loop import EvaluationLoop, run_generations
from star.search.space.alphabet import base_alphabet, search_alphabet
from star.search.space.problem import GenomeProblem

NAMES = ("validation_loss", "cache_bytes")
Objectives = Sequence[Callable[[Genome], float | None]]


@dataclass
class Run:
    """What a search left: every candidate, and the algorithm in its last state."""

    archive: Archive
    algorithm: Algorithm

    def ids(self, generation: int | None = None) -> list[str]:
        """Genomes in order of proposal."""
        chosen = [e for e in self.archive.all if generation in (None, e.candidate.generation)]
        return [evaluated.genome_id for evaluated in chosen]

    def values(self, generation: int | None = None) -> np.ndarray:
        """Objectives of the measured candidates, (candidates, objectives)."""
        chosen = [e for e in self.archive.feasible if generation in (None, e.candidate.generation)]
        return self.archive.values(chosen)


@pytest.fixture
def evolve() -> Callable[..., Run]:
    """Search with a configuration, objectives (None: infeasible), a seed, a depth and seed
    genomes."""

    def run(
        config: SearchConfig,
        objectives: Objectives,
        seed: int = 0,
        depth: int = 6,
        seeds: Sequence[Genome] = (),
    ) -> Run:
        check_search(config)
        names = NAMES[: len(objectives)]

        def evaluate(
            genomes: Sequence[Genome], rung: object = None, /
        ) -> Iterator[tuple[int, Evaluation]]:
            for index, genome in enumerate(genomes):
                values = [objective(genome) for objective in objectives]
                metrics = {
                    name: value
                    for name, value in zip(names, values, strict=True)
                    if value is not None
                }
                failed = len(metrics) < len(names)
                yield (
                    index,
                    infeasible("diverged", "made up")
                    if failed
                    else Evaluation("ok", "", metrics, 0.1),
                )

        problem = GenomeProblem(
            depth, len(objectives), search_alphabet(config), base=base_alphabet(config)
        )
        algorithm, duplicates, _ = build_algorithm(config, problem, list(seeds), seed)
        archive = Archive(select_objectives(names))
        loop = EvaluationLoop(archive, evaluate, seed, lambda _: None)
        list(
            run_generations(
                algorithm, config.generations, loop, {genome.id for genome in seeds}, duplicates
            )
        )
        return Run(archive, algorithm)

    return run
