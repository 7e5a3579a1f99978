"""All 64 strings of six attentions and SwiGLUs, and some of them grown: what Composer searches.

    nice -n 15 python experiments/composer/study.py --work <folder> small 0 1 2
    nice -n 15 python experiments/composer/study.py --work <folder> mad 0 1 2
    nice -n 15 python experiments/composer/study.py --work <folder> grown 0 1 2
    nice -n 15 python experiments/composer/study.py --work <folder> two 0 1 2       # and four
    nice -n 15 python experiments/composer/study.py --work <folder> deep 0          # then finals

Each stage and seed is a search of one generation in its own run folder, or for `mad` a run of
star.mad, so that the same command goes on where it was. Its table is kept beside this file,
`<stage>_<seed>.csv`.
"""

import argparse
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from star.base.command_line import compose_config
from star.composing.aggregate import CLUSTERS, RULES, aggregate, clusters
from star.composing.extrapolate import METHODS
from star.genomes import Genome, load_genome
from star.search import Search

HERE = Path(__file__).parent
ATTENTION, MEMORYLESS = "31111", "91111"  # SA-3, the grouped-query attention, and SwiGLU
SMALL, LARGE = 6, 12  # LIVs
# Of training: as the default search, and eight times as many tokens times parameters.
STEPS, LARGE_STEPS = 160, 640
LOSS = "validation_loss"
SAMPLE = 16  # designs of the small space that are grown, evenly over its ranks
# A search at full depth for the tokens times parameters of all 64 small trainings: 32 strings of
# twice the depth, of which the best are trained as long as what is grown.
DEEP, FINALS = 32, 4
OBJECTIVES = ("validation_loss", "recall_error", "cache_bytes")
MAD = "mad"  # the tasks of MAD alone


def space(depth: int = SMALL) -> list[Genome]:
    """All strings of so many LIVs: 64 of six."""
    texts = ("-".join(livs) for livs in product((ATTENTION, MEMORYLESS), repeat=depth))
    return [Genome.from_text(text).canonical() for text in texts]


def word(genome: Genome) -> str:
    """`AAMMMM`: attentions and SwiGLUs in order."""
    return "".join("A" if str(number) == ATTENTION[0] else "M" for number, *_ in genome.livs)


def mean_losses(stage: str = "small") -> pd.Series:
    """Mean loss of each string of a stage over the seeds that are there, by genome text."""
    tables = [pd.read_csv(path) for path in sorted(HERE.glob(f"{stage}_*.csv"))]
    return pd.concat(tables).groupby("genome")[LOSS].mean().sort_values()


def aggregates() -> dict[str, Genome]:
    """One design of the small space by each rule, from the mean losses."""
    losses = mean_losses()
    genomes, values = [Genome.from_text(text) for text in losses.index], losses.to_numpy()
    labels = clusters(values[:, None], CLUSTERS)
    return {rule: aggregate(genomes, labels, values, rule).genome for rule in RULES}


def grown() -> list[Genome]:
    """What is trained at twice the depth: a sample of the space and Composer's design stacked, and
    the aggregates stacked and stretched."""
    losses = mean_losses()
    places = [round(n * (len(losses) - 1) / (SAMPLE - 1)) for n in range(SAMPLE)]
    stacked = [Genome.from_text(losses.index[place]) for place in places]
    chosen = [*aggregates().values(), load_genome("composer_6")[0]]
    genomes = [METHODS["stack"](genome, LARGE) for genome in (*stacked, *chosen)]
    genomes += [METHODS["stretch"](genome, LARGE) for genome in chosen]
    return list({genome.id: genome for genome in genomes}.values())


def deep() -> list[Genome]:
    """Random strings of the large depth, the same at every call."""
    letters = np.random.default_rng(0).integers(2, size=(4 * DEEP, LARGE))
    texts = ("-".join((ATTENTION, MEMORYLESS)[letter] for letter in row) for row in letters)
    genomes = {(g := Genome.from_text(text).canonical()).id: g for text in texts}
    return list(genomes.values())[:DEEP]


def finals() -> list[Genome]:
    """The best of these, from the mean losses."""
    return [Genome.from_text(text) for text in mean_losses("deep").index[:FINALS]]


STAGES = {
    "small": (space, SMALL, STEPS), "grown": (grown, LARGE, LARGE_STEPS),
    # a search at full depth, and what it finds
    "deep": (deep, LARGE, STEPS), "finals": (finals, LARGE, LARGE_STEPS),
    # of the incremental modes
    "two": (lambda: space(2), 2, STEPS), "four": (lambda: space(4), 4, STEPS),
}  # fmt: skip


def train(stage: str, seed: int, work: Path) -> None:
    """Train the designs of a stage with a seed, and keep their table."""
    make, depth, steps = STAGES[stage]
    genomes = make()
    settings = [
        *("scale=cpu", "search=random", f"depth={depth}", f"seed={seed}", "report=false"),
        f"experiment_name=composer_{stage}", f"run_dir={work / f'{stage}_{seed}'}",
        f"training.steps={steps}", f"search.objectives=[{','.join(OBJECTIVES)}]",
        "search.generations=1", f"search.population={len(genomes)}", "search.baselines=[]",
        f"search.seeds=[{','.join(genome.to_text() for genome in genomes)}]",
    ]  # fmt: skip
    run = Search.from_config(compose_config("evolve", settings)).run()
    shutil.copy(run.path / "population.csv", HERE / f"{stage}_{seed}.csv")
    print(f"{stage} {seed}: {len(run.population)} designs")


def train_on_tasks(seed: int, work: Path) -> None:
    """Train the 64 on each task of MAD by its preset `quick`, and keep their mean accuracies."""
    texts = {genome.id: genome.to_text() for genome in space()}
    folder = work / f"{MAD}_{seed}"
    settings = ["preset=quick", "width=64", f"depth={SMALL}", f"seeds=[{seed}]"]
    command = [f"genome=[{','.join(texts.values())}]", *settings, f"run_dir={folder}"]
    subprocess.run([sys.executable, "-m", "star.mad", *command], check=True)
    runs = pd.read_csv(folder / "runs.csv")
    table = runs.pivot(index="genome_id", columns="task", values="test_accuracy")
    table.insert(0, "mad_score", table.mean(axis=1))
    table.insert(0, "genome", table.index.map(texts))
    table.insert(1, "status", "ok")
    table.round(6).to_csv(HERE / f"{MAD}_{seed}.csv")


def main() -> None:
    """Train what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("stage", choices=[*STAGES, MAD])
    parser.add_argument("seeds", type=int, nargs="+")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        if arguments.stage == MAD:
            train_on_tasks(seed, arguments.work)
        else:
            train(arguments.stage, seed, arguments.work)


if __name__ == "__main__":
    main()
