"""What successive halving saves: hypervolume and training tokens of searches with and without it,
pair by pair.

    for s in 0 1 2 3 4; do
      python -m star.evolve +experiment=cache_frontier seed=$s run_dir=runs/plain/$s
      python -m star.evolve +experiment=cache_frontier seed=$s 'search.halving.rungs=[10,20,40]' \\
        search.generations=8 run_dir=runs/halving/$s
    done
    python experiments/successive_halving/compare.py runs/plain/0 runs/halving/0 runs/plain/1 ...

Writes results.csv, by_generation.csv and halving.png beside this file.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from scipy.stats import spearmanr

from star.evaluation.ledger import Ledger
from star.evaluation.pareto import hypervolume, reference_point
from star.runs.run import Run

HERE = Path(__file__).parent
PLAIN, HALVING = "plain", "halving"


def by_generation(run: Run, name: str) -> pd.DataFrame:
    """Hypervolume of what was trained to the end, and training tokens of all, after each generation
    of a run."""
    objectives, table = run.settings["search"]["objectives"], run.population
    baselines = table[(table["origin"] == "baseline") & (table["status"] == "ok")]
    reference = reference_point(baselines[objectives].to_numpy(float))
    rows = []
    for generation in sorted(table["generation"].unique()):
        until = table[table["generation"] <= generation]
        trained = until[until["status"] == "ok"]
        rows.append(
            {
                "seed": run.settings["seed"],
                "search": name,
                "generation": generation,
                "candidates": len(until),
                "trained_to_the_end": len(trained),
                "train_tokens": int(until["train_tokens"].sum()),
                "hypervolume": hypervolume(trained[objectives].to_numpy(float), reference),
            }
        )
    return pd.DataFrame(rows)


def compare(plain: pd.DataFrame, halving: pd.DataFrame) -> dict[str, float]:
    """The last generations of a pair."""
    ends = {name: table.iloc[-1] for name, table in ((PLAIN, plain), (HALVING, halving))}
    return {
        "seed": int(ends[PLAIN]["seed"]),
        "plain_tokens": int(ends[PLAIN]["train_tokens"]),
        "halving_tokens": int(ends[HALVING]["train_tokens"]),
        "fewer_tokens": ends[PLAIN]["train_tokens"] / ends[HALVING]["train_tokens"],
        "plain_hypervolume": ends[PLAIN]["hypervolume"],
        "halving_hypervolume": ends[HALVING]["hypervolume"],
        "hypervolume_ratio": ends[HALVING]["hypervolume"] / ends[PLAIN]["hypervolume"],
    }


def rank_agreement(plain: Run, halving: Run) -> pd.DataFrame:
    """Spearman correlation of the loss at each rung with that at the end, over genomes that both
    searches trained."""
    table = plain.population.set_index("genome_id")
    final = table.loc[table["origin"] != "baseline", "validation_loss"].dropna()
    rows = []
    with Ledger(halving.ledger_path) as ledger:
        for identity, content in ledger.recipes().items():
            reached = {
                r.genome_id: r.evaluation.metrics.get("validation_loss")
                for r in ledger.records(identity)
            }
            both = pd.DataFrame({"rung": pd.Series(reached, dtype=float), "final": final}).dropna()
            steps = content.get("rung", content["training"]["steps"])
            correlation = (
                spearmanr(both["rung"], both["final"])[0] if len(both) > 1 else float("nan")
            )
            rows.append(
                {
                    "seed": plain.settings["seed"],
                    "steps": steps,
                    "both": len(both),
                    "spearman": correlation,
                }
            )
    return pd.DataFrame(rows).sort_values("steps")


def draw(curves: pd.DataFrame, path: Path) -> None:
    """Hypervolume against training tokens, a line a search and seed."""
    figure, axes = plt.subplots(figsize=(8.6, 4.2), layout="constrained")
    for name, color in ((PLAIN, "tab:gray"), (HALVING, "tab:blue")):
        for marker, (seed, curve) in zip(
            "os^vD", curves[curves["search"] == name].groupby("seed"), strict=False
        ):
            tokens, label = curve["train_tokens"] / 1e6, f"{name}, seed {seed}"
            axes.plot(
                tokens, curve["hypervolume"], f"{marker}-", ms=4, lw=1, color=color, label=label
            )
    axes.set_xlabel("training tokens, millions")
    axes.set_ylabel("hypervolume")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(folders: list[str]) -> None:
    """Compare run folders given in pairs, plain before halving."""
    runs = list(zip(map(Run.open, folders[::2]), map(Run.open, folders[1::2]), strict=True))
    pairs = [(by_generation(one, PLAIN), by_generation(other, HALVING)) for one, other in runs]
    results = pd.DataFrame([compare(plain, halving) for plain, halving in pairs])
    results.to_csv(HERE / "results.csv", index=False, float_format="%.5f")
    curves = pd.concat([curve for pair in pairs for curve in pair])
    curves.to_csv(HERE / "by_generation.csv", index=False, float_format="%.5f")
    draw(curves, HERE / "halving.png")
    print(results.round(4).to_string(index=False))
    agreement = pd.concat([rank_agreement(*pair) for pair in runs])
    print(agreement.round(2).to_string(index=False))
    print(
        f"mean: {results['fewer_tokens'].mean():.2f}x fewer tokens, "
        f"{results['hypervolume_ratio'].mean():.4f} of it"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
