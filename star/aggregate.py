"""python -m star.aggregate run=<folder> to=best.yaml: one design of the best of a search.

The trained candidates of one or several runs are clustered by quality, the best cluster votes for a
class at each position, and the result is written as a genome file, ready for `star.extrapolate`.
In Python, `star.composing.aggregate` has the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from rich.table import Table

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.files import free_path, write_named
from star.base.settings import LARGEST_SEED, expect, expect_one_of
from star.composing.aggregate import BEST, CLUSTERS, RULES, Aggregated, aggregate, clusters, knee
from star.evaluation.objectives import STATIC, Objective
from star.evaluation.pareto import Values
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    genome_file_text,
)
from star.runs.extensions import use_extensions
from star.runs.names import BASELINE, composition
from star.runs.origin import configured, origin_settings, read_run_origin
from star.runs.run import Run, RunCandidate
from star.search.recount import Question, Recounted

MOST_PARENTS = 50  # genome ids that a genome file names


@dataclass
class AggregateConfig:
    """Make one design of the best of a search, or of several."""

    run: list[str] = field(default_factory=list)  # folders of searches: a folder, or [a,b,...]
    # an objective that orders candidates; null: all of the search's, by the knee of its front
    by: str | None = None
    clusters: int | None = CLUSTERS  # of quality; null: as many as the silhouette says
    rule: str = "0"  # positions vote alone; 1, 2: with so many chosen before them; best: nobody
    constraints: dict[str, Any] = field(default_factory=dict)  # who may vote: cache_bytes=64kB
    seed: int = 0  # of the clusters
    to: str | None = None  # a genome file to write; null: none
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name

    ALONE: ClassVar[Sequence[str]] = ("run",)  # run=a is run=[a]

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect("run", self.run, bool(self.run), "the folder of a search, or several: run=[a,b]")
        expect_one_of("rule", self.rule, RULES)
        fits = self.clusters is None or 2 <= self.clusters <= 1000
        expect("clusters", self.clusters, fits, "a number from 2 to 1000, or null")
        expect("seed", self.seed, 0 <= self.seed <= LARGEST_SEED, "a number that is not negative")


@dataclass(frozen=True)
class Voters:
    """Trained candidates of all runs, and what they were trained for."""

    candidates: Sequence[RunCandidate]
    objectives: Sequence[Objective]  # that order them

    @property
    def values(self) -> Values:
        """(candidates, objectives), to be minimised; costs, which span decades, as logarithms."""
        columns = []
        for objective in self.objectives:
            column = np.array([float(c.metrics[objective.name]) for c in self.candidates])
            is_cost = objective.cost == STATIC and bool((column > 0).all())
            columns.append(objective.sign * (np.log(column) if is_cost else column))
        return np.stack(columns, axis=1)


def read_voters(config: AggregateConfig) -> Voters:
    """The candidates of all runs that keep the constraints, baselines left out.

    Raises `UserError` for runs that cannot be read or have none, or that were not measured by the
    objective that is asked for.
    """
    candidates: list[RunCandidate] = []
    objectives: Sequence[Objective] = ()
    for folder in config.run:
        origin = read_run_origin(folder)
        model = configured(ModelConfig(), origin, "model")
        cache = configured(CacheSetting(), origin, "cache")
        asked = [config.by] if config.by is not None else []
        question = Question(model, cache, asked, config.constraints)
        run = Run.open(folder)
        known = ", ".join(run.metrics)
        fits = config.by is None or config.by in run.metrics
        expect("by", config.by, fits, f"what {run.path} measured: {known}")
        recounted = Recounted(run, question)
        recounted.check_answer()
        found = [recounted.measured.objectives[name] for name in recounted.minimised]
        if objectives and [o.name for o in found] != [o.name for o in objectives]:
            raise UserError(f"run={folder}: minimised others than the first run; by= names one")
        objectives = found
        there = recounted.candidates.values()
        candidates += [c for c in there if c.status == "ok" and c.origin != BASELINE]
    if not candidates:
        raise UserError("run: no candidate but baselines keeps the constraints")
    return Voters(candidates, objectives)


def decide(config: AggregateConfig, voters: Voters) -> tuple[Aggregated, str]:
    """The design, and in words who voted."""
    values, genomes = voters.values, [c.genome for c in voters.candidates]
    if config.rule == BEST and len(voters.objectives) == 1:
        return aggregate(genomes, [0] * len(genomes), values[:, 0].tolist(), BEST), "the best"
    labels = clusters(values, config.clusters, config.seed)
    if len(voters.objectives) == 1:
        where, ranking = f"the best cluster by {voters.objectives[0].name}", values[:, 0]
    else:
        middle = knee(values)
        of_knee = labels[middle]
        labels = [0 if label == of_knee else 1 for label in labels]
        where = f"the cluster of the front's knee ({voters.candidates[middle].genome_id})"
        scaled = (values - values[middle]) / np.where(values.std(axis=0) > 0, values.std(axis=0), 1)
        ranking = (scaled**2).sum(axis=1)  # near the knee is better
    return aggregate(genomes, labels, ranking.tolist(), config.rule), where


def votes_table(made: Aggregated) -> Table:
    """What was chosen at each position, and by how many."""
    table = Table(title="votes by position", title_justify="left")
    table.add_column("LIV", justify="right")
    table.add_column("chosen")
    table.add_column("voters", justify="right")
    table.add_column("votes")
    for vote in made.votes:
        order = sorted(vote.counts, key=lambda name: -vote.counts[name])
        counts = ", ".join(f"{name} {vote.counts[name]}" for name in order)
        table.add_row(str(vote.liv), vote.chosen, str(vote.voters), counts)
    return table


def genome_file(config: AggregateConfig, voters: Voters, genome: Genome, notes: str,
                members: Sequence[int]) -> GenomeFile:  # fmt: skip
    """The genome with where it came from: the settings of the first run, the voters as parents."""
    settings = origin_settings(Run.open(config.run[0]).settings)
    parents = [voters.candidates[number].genome_id for number in members[:MOST_PARENTS]]
    return GenomeFile("aggregated", genome, notes=notes, parents=parents, settings=settings)


def main(config: AggregateConfig, arguments: list[str]) -> None:
    """Cluster, vote, show, write."""
    config.check()
    use_extensions(config.plugins, config.library)
    if config.to is not None:
        free_path("to", config.to)
    voters = read_voters(config)
    made, where = decide(config, voters)
    console = make_console()
    console.print(votes_table(made))
    rule = "the best of" if config.rule == BEST else f"N_{config.rule} of"
    notes = (
        f"{rule} {len(made.members)} of {len(voters.candidates)} candidates: {where}, "
        f"of {len(config.run)} {'run' if len(config.run) == 1 else 'runs'}"
    )
    say(console, notes)
    text, genome_id = made.genome.to_text(), made.genome.id
    say(console, f"genome: {text}  {genome_id}  [{composition(made.genome)}]")
    known = any(c.genome_id == genome_id for c in voters.candidates)
    say(console, "it is one of the candidates" if known else "it is none of the candidates")
    if config.to is None:
        return
    content = genome_file(config, voters, made.genome, notes, made.members)
    path = write_named("to", config.to, genome_file_text(content))
    say(console, f"genome file: {path}")


if __name__ == "__main__":
    run_command("aggregate", main, (GenomeError,))
