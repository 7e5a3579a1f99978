"""Settings of the evolution."""

from dataclasses import dataclass, field
from typing import Any

from star.search.halving import HalvingConfig
from star.search.stopping import StopConfig


@dataclass
class SearchConfig:
    """The evolution.

    algorithm: `_target_` of any pymoo algorithm and its own arguments. objectives: names from
    `star.evaluation.objectives`. alphabet: LIV classes to choose from; classes: names of those that
    the search is restricted to, all when empty. population, generations: the first generation is
    the initial population. crossover_points, crossover_probability, mutation_probability (per
    gene): variation. constrained_mutation: draw only values that keep a genome valid.
    sharing_probability: of random genomes. seeds: library names, genome files, folders and CSVs for
    the initial population. baselines: library names trained beside it for comparison.

    motif: LIVs of a block that is evolved and repeated to the depth; None evolves whole backbones.
    depths: the least and the most LIVs of a backbone; empty for the one depth. depth_probability:
    that a genome gains, loses or duplicates a LIV, with depths. operator_probability: that the
    operator of a LIV changes by a gene, to any valid one, be it in the alphabet or not.

    sharing_mutation_probability: that a child is mutated by copying LIVs with their sharing and by
    letting LIVs of one class begin or cease to share, instead of gene by gene.

    tournament_size: individuals that compete to be a parent, in algorithms that select by
    tournament, such as NSGA-II and the genetic algorithm. elitism: the best that the firefly
    algorithm keeps each generation; NSGA-II and the genetic algorithm always keep the best of
    parents and children, as many as the population has. scalarisation: how the genetic and the
    firefly algorithm make one number of several objectives, `chebyshev` or `weights`. weights: one
    for each objective, the larger the more it counts; equal when empty.

    evaluator: `train`, or `tabular` for losses from a table of a small space trained beforehand.
    table: its path; None is the committed one of experiments/tabular.
    """

    algorithm: dict[str, Any] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    alphabet: str = "star"
    classes: list[str] = field(default_factory=list)
    population: int = 16
    generations: int = 18
    crossover_points: int = 2
    crossover_probability: float = 0.9
    mutation_probability: float = 0.1
    constrained_mutation: bool = True
    sharing_probability: float = 0.25
    motif: int | None = None
    depths: list[int] = field(default_factory=list)
    depth_probability: float = 0.1
    operator_probability: float = 0.0
    sharing_mutation_probability: float = 0.5
    tournament_size: int = 2
    elitism: int = 2
    scalarisation: str = "chebyshev"
    weights: list[float] = field(default_factory=list)
    stop: StopConfig = field(default_factory=StopConfig)
    halving: HalvingConfig = field(default_factory=HalvingConfig)
    seeds: list[str] = field(default_factory=list)
    baselines: list[str] = field(default_factory=list)
    evaluator: str = "train"
    table: str | None = None
