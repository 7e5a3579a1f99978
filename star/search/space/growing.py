"""Backbones that grow while they are searched (Composer's incremental modes, arXiv 2510.00379).

A stage searches LIVs at one depth. Then the best backbone so far is fixed, and the next stage
searches a few LIVs more: behind it (`end_incremental`) or in its middle (`middle_incremental`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from star.genomes import GENES_PER_LIV, NOT_SHARED, Genome, arrays
from star.genomes.genes import CLASS, Genes
from star.search.archive import Archive
from star.search.config import END_INCREMENTAL, ONE_SHOT, SearchConfig, SpaceConfig
from star.search.halving import SuccessiveHalving
from star.search.space.depths import apply_by_depth, depths_of, fit_group_numbers
from star.search.space.problem import GenomeProblem


def make_growing(config: SpaceConfig, depth: int) -> "Growing | None":
    """The growing of a search to a depth; None for `one_shot`."""
    if config.mode == ONE_SHOT:
        return None
    return Growing(config.mode, stage_depths(depth, config.step), config.stage_generations)


def stage_depths(depth: int, step: int) -> list[int]:
    """LIVs of each stage: 2, 4, 6, 7 for a depth of 7 in steps of 2."""
    return list(dict.fromkeys([*range(step, depth, step), depth]))


@dataclass
class Growing:
    """The stage that a search is in, and what is fixed in it."""

    mode: str  # END_INCREMENTAL or MIDDLE_INCREMENTAL
    depths: Sequence[int]  # LIVs of each stage
    generations: int  # of a stage but the last one
    stage: int = 0
    begun: int = 0  # generation in which it began
    is_exhausted: bool = False  # it has no new genome, so that the next generation goes on
    fixed: Genes = field(default_factory=lambda: np.zeros((0, GENES_PER_LIV), dtype=np.int64))
    fixed_id: str = ""  # of the backbone that is fixed; empty where none is

    @property
    def depth(self) -> int:
        """LIVs of a backbone in this stage."""
        return self.depths[self.stage]

    @property
    def before(self) -> int:
        """Fixed LIVs before those that are searched."""
        return len(self.fixed) if self.mode == END_INCREMENTAL else (len(self.fixed) + 1) // 2

    @property
    def is_last(self) -> bool:
        """Whether this stage reaches the whole depth."""
        return self.stage == self._last

    @property
    def places(self) -> list[int]:
        """Where the fixed LIVs are, from 0."""
        behind = len(self.fixed) - self.before
        return [*range(self.before), *range(self.depth - behind, self.depth)]

    def notices(self, config: SearchConfig) -> list[str]:
        """What of the settings of a search does not act, or not to the end, in words."""
        key = f"search.space.mode={self.mode}"
        found = []
        if config.seeds:
            found.append(f"{key}: search.seeds are left out, since backbones begin small")
        reached = self.depths[min((config.generations - 1) // self.generations, self._last)]
        if reached < self.depths[-1]:
            found.append(
                f"{key}: search.generations={config.generations} may end at {reached} of "
                f"{self.depths[-1]} LIVs, with {self.generations} generations for each stage"
            )
        return found

    @property
    def _last(self) -> int:
        return len(self.depths) - 1

    def prepare(self, generation: int, archive: Archive, halving: SuccessiveHalving) -> None:
        """Go on to the stage of a generation (from 0), with the best of the stage before it.

        A stage ends early where it has no new genome. The best is the one of the smallest first
        objective among those that were measured to the end and keep the limits; where there is
        none, nothing is fixed.
        """
        is_over = self.is_exhausted or generation - self.begun >= self.generations
        if self.is_last or not is_over:
            return
        done, self.begun, self.is_exhausted = self.depth, generation, False
        self.stage += 1
        finished = [e for e in archive.feasible if e.candidate.genome.depth == done]
        finished = [e for e in finished if not e.is_baseline]
        self.fixed, self.fixed_id = self.fixed[:0], ""
        if finished:
            values = archive.values(finished)[:, 0]
            best: Genome = finished[int(np.argmin(values))].candidate.genome
            self.fixed = best.canonical().liv_array()
            self.fixed_id = best.id

    def grown(self, livs: Genes, problem: GenomeProblem, rng: np.random.Generator) -> Genes:
        """The same genomes as ones of this stage, valid: what is fixed, and between it their own
        LIVs, or random ones where they have too few.

        Args:
            livs: (genomes, most, 5), absent LIVs as zeros at the end.
            problem: the search space.
            rng: random numbers.
        """
        placed = np.zeros_like(livs)
        placed[:, : self.depth] = arrays.sample(len(livs), self.depth, rng, problem.base)
        start, behind = self.before, len(self.fixed) - self.before
        end = self.depth - behind
        for row, own in enumerate(livs):
            last = max(start, int(depths_of(own[None])[0]) - behind)
            taken = own[start : min(last, end)]
            placed[row, start : start + len(taken)] = taken
        placed[:, :start], placed[:, end : self.depth] = self.fixed[:start], self.fixed[start:]
        placed = fit_group_numbers(placed)
        valid = apply_by_depth(lambda g: arrays.repair(g, rng, problem.alphabet)[0], placed)
        kept = self.places
        changed = (valid[:, kept] != placed[:, kept]).any(axis=(1, 2))
        # What is searched gives way: without any sharing it cannot disagree with what is fixed.
        valid[changed] = placed[changed]
        valid[np.ix_(changed, range(start, end), range(CLASS + 1, GENES_PER_LIV))] = NOT_SHARED
        return valid
