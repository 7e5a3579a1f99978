"""Two small models trained on different text, and what a hybrid of them is worth on both.

    nice -n 15 python experiments/manticore/study.py --work <folder> 0 1 2

Attention is trained on Python's standard library, a recurrence on English: the descriptions of the
packages that are installed. Everything then gets as many tokens of both texts: hybrids whose
mixture was found in several ways, each component alone, and one component as wide as the hybrid is
dear. Each training is a folder, so that the same command goes on where it was; results are kept in
`results.csv` and `mixtures.csv` beside this file.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from sysconfig import get_paths
from typing import Any

import pandas as pd
import torch
from torch import nn

from star import load_checkpoint
from star.data import DataConfig, open_corpus
from star.genomes import flops_per_token
from star.training import TrainingConfig, validate

HERE = Path(__file__).parent
# 0.57 and 0.34 MFLOPs for a token in the middle of a window.
COMPONENTS = {
    "attention": ("python", ("genome=transformer_pp", "depth=8", "width=64")),
    "recurrence": ("english", ("genome=mamba", "depth=8", "width=64")),
}
WIDENED = {"attention": 96}  # 1.13 MFLOPs, a little more than a hybrid of both
LENGTH, BYTES = 256, 2_000_000  # of a window; of each text
PRETRAINING, STEPS, SEARCH_STEPS, PROJECTOR_STEPS, BLOCKS = 600, 200, 100, 50, 4
METHODS = ("darts", "gaea", "dash", "mad", "uniform")  # projectors begin as the identity
# Of `mad`: all there were when this was measured. Compression came later.
TASKS = (
    "in_context_recall", "fuzzy_recall", "noisy_recall", "selective_copying", "memorization",
)  # fmt: skip
TRAINING = (
    *(f"training.length={LENGTH}", "training.batch_size=8", "training.validation_batches=8"),
)


def write_texts(folder: Path) -> None:
    """The two texts and their union, as folders of files; nothing where they are there."""
    if (folder / "both").exists():
        return
    standard = Path(get_paths()["stdlib"])
    python = sorted(p for p in standard.rglob("*.py") if "site-packages" not in p.parts)
    english = {f"{one.metadata['Name']}.txt": one.read_text("METADATA") for one in distributions()}
    for name, documents in (
        ("python", {f"{n}.txt": p.read_text("utf-8", "replace") for n, p in enumerate(python)}),
        ("english", dict(sorted(english.items()))),
    ):
        left = BYTES
        # A document has the same name in both folders: names decide which are held out.
        targets = (folder / name / name, folder / "both.new" / name)
        for target in targets:
            target.mkdir(parents=True, exist_ok=True)
        for file, text in documents.items():
            if not text or left <= 0:
                continue
            left -= len(text.encode())
            for target in targets:
                (target / file).write_text(text, encoding="utf-8")
    (folder / "both.new").rename(folder / "both")


def run(command: str, folder: Path, *settings: str) -> dict[str, Any]:
    """The evaluation that a training leaves. command: train or hybridize."""
    inside = folder / "model" if command == "hybridize" else folder
    result = inside / "evaluation.json"
    if not result.exists():
        arguments = [sys.executable, "-m", f"star.{command}", *settings, f"run_dir={folder}"]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return json.loads(result.read_text())


def data(work: Path, text: str) -> tuple[str, ...]:
    """Settings of a text."""
    return ("data=files", f"data.path={work / 'texts' / text}")


def pretrain(work: Path) -> dict[str, Path]:
    """The components' folders."""
    for name, (text, design) in COMPONENTS.items():
        run("train", work / name, *design, f"steps={PRETRAINING}", *TRAINING, *data(work, text))
    return {name: work / name for name in COMPONENTS}


class Ensemble(nn.Module):
    """The mean of what models give probability to."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens int64 (batch, length) to log-probabilities (batch, length, vocabulary)."""
        logs = torch.stack([model(tokens).log_softmax(dim=-1) for model in self.models])
        return logs.logsumexp(dim=0) - torch.tensor(float(len(logs))).log()


def held_out_loss(work: Path, model: nn.Module) -> float:
    """Of the union of both texts, on the windows of every training."""
    config = TrainingConfig(length=LENGTH, batch_size=8, validation_batches=8, device="cpu")
    corpus = open_corpus(DataConfig("files", str(work / "texts" / "both")), LENGTH, 256)
    return validate(model.eval(), corpus, config).validation_loss


def flops(folder: Path) -> float:
    """Of one token of a window, half of which it sees."""
    checkpoint = load_checkpoint(folder)
    return flops_per_token(checkpoint.genome.genome, checkpoint.config, LENGTH // 2)


def row(
    seed: int, name: str, result: Mapping[str, Any], folder: Path, steps: int
) -> dict[str, Any]:
    """One row of the table. steps: all that were spent after pretraining."""
    tokens = steps * 8 * LENGTH
    return {
        "seed": seed, "design": name, "validation_loss": result["validation_loss"],
        "parameters": result["parameters"], "cache_bytes": result["cache_bytes"],
        "flops_per_token": (one := flops(folder)), "tokens": tokens,
        "training_flops": 3 * one * tokens,
    }  # fmt: skip


def hybrids(work: Path, seed: int, models: Mapping[str, Path]) -> list[dict[str, Any]]:
    """A hybrid for each method."""
    rows = []
    for method in METHODS:
        folder = work / f"{method}_{seed}"
        result = run(
            "hybridize", folder, f"models=[{','.join(map(str, models.values()))}]",
            f"hybrid.blocks={BLOCKS}", f"hybrid.method={method}", f"seed={seed}",
            f"hybrid.search_steps={SEARCH_STEPS}", f"hybrid.projector_steps={PROJECTOR_STEPS}",
            *([f"hybrid.programming.tasks=[{','.join(TASKS)}]"] if method == "mad" else []),
            f"steps={STEPS}", *TRAINING, *data(work, "both"),
        )  # fmt: skip
        searched = 2 * SEARCH_STEPS if method in ("darts", "gaea", "dash") else 0
        spent = STEPS + PROJECTOR_STEPS + searched
        rows.append(row(seed, f"hybrid, {method}", result, folder / "model", spent))
    return rows


def alone(work: Path, seed: int, models: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Components trained on, one of them widened, and the ensemble."""
    rows, tuned = [], []
    shared = (f"seed={seed}", "training.learning_rate=1e-3", "training.schedule=cosine", *TRAINING)
    for name, folder in models.items():
        longest = STEPS + PROJECTOR_STEPS + 2 * SEARCH_STEPS
        for label, steps in ((name, STEPS), (f"{name}, as many tokens as a search", longest)):
            own = work / f"{name}_{steps}_{seed}"
            settings = (f"genome={folder / 'genome.yaml'}", f"training.init_from={folder}")
            result = run("train", own, *settings, f"steps={steps}", *shared, *data(work, "both"))
            rows.append(row(seed, label, result, own, steps))
        tuned.append(work / f"{name}_{STEPS}_{seed}")
    for name, width in WIDENED.items():
        own, (_, design) = work / f"{name}_wide_{seed}", COMPONENTS[name]
        settings = (*design[:2], f"width={width}", f"training.init_from={models[name]}")
        result = run("train", own, *settings, f"steps={STEPS}", *shared, *data(work, "both"))
        rows.append(row(seed, f"{name}, width {width}", result, own, STEPS))
    ensemble = Ensemble([load_checkpoint(folder).model for folder in tuned])
    both = [next(r for r in rows if r["design"] == name) for name in models]
    costs = ("parameters", "cache_bytes", "flops_per_token", "tokens", "training_flops")
    total = {key: sum(one[key] for one in both) for key in costs}
    loss = held_out_loss(work, ensemble)
    return [*rows, {"seed": seed, "design": "ensemble", "validation_loss": loss, **total}]


def mixtures(work: Path, seed: int) -> list[dict[str, Any]]:
    """The weight of the first component in each block, by method."""
    rows = []
    for method in METHODS:
        table = pd.read_csv(work / f"{method}_{seed}" / "mixture.csv")
        for block, weight in enumerate(table[next(iter(COMPONENTS))]):
            rows.append({"seed": seed, "method": method, "block": block, "attention": weight})
    return rows


def main() -> None:
    """Train what the arguments say, and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("seeds", type=int, nargs="+")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    write_texts(work / "texts")
    models = pretrain(work)
    rows: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for name, folder in models.items():
        loss = held_out_loss(work, load_checkpoint(folder).model)
        print(f"{name}: {loss:.3f} on both texts before anything else")
    for seed in arguments.seeds:
        rows += [*alone(work, seed, models), *hybrids(work, seed, models)]
        found += mixtures(work, seed)
        pd.DataFrame(rows).to_csv(HERE / "results.csv", index=False)
        pd.DataFrame(found).to_csv(HERE / "mixtures.csv", index=False)
        print(f"seed {seed}: {len(rows)} rows")


if __name__ == "__main__":
    main()
