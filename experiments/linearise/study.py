"""Every choice of which attention stays, distilled alike: how good is the one of the gates?

    nice -n 15 python experiments/linearise/study.py --work <folder> 0 1 2

Each seed trains one design with four attention LIVs on text and on recall, aligns branches, trains
the gates, and distils all 14 ways to keep one, two or three of the four, so that a random choice is
known exactly. The designs that the gates choose are trained from scratch too, for as many steps as
all parts together. The same command goes on where it was. Every row is kept beside this file, in
`results.csv`, and the table is printed.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from star.base.command_line import compose_config
from star.base.console import make_console
from star.data import Corpus, open_corpus
from star.evaluation.probing import answer_loss
from star.genomes import Genome, GenomeFile, ModelConfig
from star.hybrids.linearise.linearisation import RECALL, Linearisation, opened_linearisation
from star.hybrids.linearise.recall import TASKS
from star.hybrids.linearise.running import Running
from star.models import LanguageModel, decode, save_checkpoint
from star.models.checkpoint import WEIGHTS
from star.runs.origin import origin_settings
from star.training import Trainer, TrainingConfig
from star.training.loop import token_loss

HERE = Path(__file__).parent
# SA-2, attention with short convolutions, which learns this recall within 200 steps, and SwiGLU.
DESIGN = Genome.from_text("-".join(["21111", "91111"] * 4))
ATTENTIONS = 4
SIZES = ModelConfig(width=64)
TASK = "repeat"
QUALITY = ["validation_loss", "repeat_loss", RECALL]
Row = dict[str, Any]


@dataclass(frozen=True)
class Steps:
    """Of the parts."""

    original: int = 600
    align: int = 200
    gates: int = 100
    distil: int = 400

    @property
    def total(self) -> int:
        """Of all parts, which a design trained from scratch gets at once."""
        return sum(asdict(self).values())


class OnRecall(Trainer):
    """Training on the text and on the recall task, each weighing one."""

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length + 1)."""
        rng = np.random.default_rng([self.seed, self.step])
        instances = TASKS[TASK](tokens, rng).to(self.device)
        return token_loss(self.model, tokens) + answer_loss(self.model, instances)


def configured(seed: int, folder: Path, steps: Steps) -> Any:
    """Settings of `star.linearise` for the checkpoint of a seed."""
    return compose_config(
        "linearise",
        [
            f"checkpoint={folder / 'original'}", f"run_dir={folder / 'linearise'}", "to=unused",
            f"seed={seed}", f"task={TASK}", f"align.steps={steps.align}",
            f"gates.steps={steps.gates}", f"distil.steps={steps.distil}",
            "training.optimizer=muon", "training.length=128", "training.batch_size=8",
            "tensorboard=never",
        ],
    )  # fmt: skip


def trained(genome: Genome, config: Any, corpus: Corpus, steps: int, folder: Path) -> LanguageModel:
    """A design trained on text and recall, from random weights of the seed."""
    settings = TrainingConfig(**{**asdict(config.training), "steps": steps})
    torch.manual_seed(config.seed)
    model = decode(genome, SIZES)
    trainer = OnRecall(model, corpus, settings, config.seed)
    Running(make_console()).run(folder.name, trainer, folder)
    return model


def make_original(seed: int, folder: Path, steps: Steps) -> None:
    """Train and keep what is linearised, unless it is there."""
    if (folder / "original" / WEIGHTS).exists():
        return
    config = configured(seed, folder, steps)
    corpus = open_corpus(config.data, config.training.length, SIZES.vocabulary)
    model = trained(DESIGN, config, corpus, steps.original, folder / "training")
    kept = origin_settings({**asdict(config), "model": asdict(SIZES)})
    (folder / "original").mkdir(exist_ok=True)
    save_checkpoint(folder / "original", model, GenomeFile("four", DESIGN, settings=kept), SIZES)


@contextmanager
def opened(seed: int, folder: Path, steps: Steps) -> Iterator[Linearisation]:
    """The linearisation of a seed's checkpoint."""
    config = configured(seed, folder, steps)
    with opened_linearisation(config, None, make_console()) as (work, _):
        yield work


def kept_row(folder: Path, name: str, make: Callable[[], Row]) -> Row:
    """A row that is measured once."""
    path = folder / "rows" / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        row = make()
        path.write_text(json.dumps(row))
    return json.loads(path.read_text())


def rows_of(seed: int, folder: Path, steps: Steps) -> Iterator[Row]:
    """Of the original, of all choices, and of the chosen designs trained from scratch."""
    make_original(seed, folder, steps)
    with opened(seed, folder, steps) as work:
        before = work.checkpoint.model
        row = kept_row(folder, "original", lambda: work.measure(before, work.plan.genome))
        yield {"seed": seed, "kind": "original", "kept": "1" * ATTENTIONS, **row}
        branches = work.aligned()
        importance = work.trained_gates(branches).importance
        order = sorted(range(ATTENTIONS), key=lambda n: -importance[n])
        for kept in product((False, True), repeat=ATTENTIONS):
            count = sum(kept)
            if count in (0, ATTENTIONS):
                continue
            name = "".join(str(int(one)) for one in kept)
            is_chosen = all(kept[n] for n in order[:count])

            def distilled(kept: tuple[bool, ...] = kept, name: str = name) -> Row:
                student, genome = work.student(branches, kept), work.plan.genome_of(kept)
                start = work.measure(student, genome)
                work.distil(student, folder / "distil" / name)
                first = {f"start_{key}": start[key] for key in QUALITY}
                return {**work.measure(student, genome), **first}

            row = kept_row(folder, name, distilled)
            found = {"seed": seed, "kept": name, "gates": importance_text(importance)}
            yield {**found, "kind": "chosen" if is_chosen else "other", **row}
            if not is_chosen:
                continue

            def from_scratch(kept: tuple[bool, ...] = kept, name: str = name) -> Row:
                genome, place = work.plan.genome_of(kept), folder / "scratch" / name
                model = trained(genome, work.config, work.corpus, steps.total, place)
                return work.measure(model, genome)

            row = kept_row(folder, f"scratch_{name}", from_scratch)
            yield {"seed": seed, "kind": "scratch", "kept": name, **row}


def importance_text(importance: list[float]) -> str:
    """Of each attention, with three decimals."""
    return " ".join(f"{one:.3f}" for one in importance)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by how many stay: the choice of the gates, a random one, the best and the
    worst of all, and from scratch."""
    rows = rows.assign(count=rows["kept"].map(lambda text: str(text).count("1")))
    lines = []
    for count, of_count in rows.groupby("count"):
        choices = of_count[of_count["kind"].isin(["chosen", "other"])]
        for key in QUALITY:
            by_seed = choices.groupby("seed")[key]
            best, worst = by_seed.min(), by_seed.max()
            if key == RECALL:
                best, worst = worst, best
            kinds = {kind: part[key].mean() for kind, part in of_count.groupby("kind")}
            lines.append(
                {
                    "kept": count, "measure": key,
                    "original": kinds.get("original"), "gates": kinds.get("chosen"),
                    "random": by_seed.mean().mean(), "best": best.mean(), "worst": worst.mean(),
                    "scratch": kinds.get("scratch"),
                }
            )  # fmt: skip
    return pd.DataFrame(lines).round(4)


def main() -> None:
    """Train, distil, keep every row, print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    for name, value in asdict(Steps()).items():
        parser.add_argument(f"--{name}", type=int, default=value, help="steps of that part")
    parser.add_argument("seeds", type=int, nargs="+")
    given = parser.parse_args()
    steps = Steps(given.original, given.align, given.gates, given.distil)
    rows: list[Row] = []
    for seed in given.seeds:
        for row in rows_of(seed, given.work / str(seed), steps):
            rows.append(row)
            table = pd.DataFrame(rows).round(5)
            table.to_csv(given.results, index=False, lineterminator="\n")
    print(summary(pd.DataFrame(rows)).to_string(index=False))


if __name__ == "__main__":
    main()
