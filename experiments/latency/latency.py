"""Do repeat runs of the timings agree within the spread that they state?

    python experiments/latency/latency.py

Every design of the library is measured in two fresh processes, one after the other for all of them,
so that minutes lie between the two runs of a design. Writes results.csv beside this file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from star.data import DataConfig
from star.evaluation import Context, Recipe
from star.evaluation.measuring import machine_name
from star.evaluation.objectives import load_objective
from star.genomes import CacheSetting, ModelConfig, library_names, load_genome
from star.training import TrainingConfig

HERE = Path(__file__).parent
DEPTH, WIDTHS = 8, (64, 256)
TIMED = ("decode_latency", "prefill_throughput")
NAMES = (*TIMED, "peak_memory")


def measure_all() -> list[dict[str, float | str]]:
    """A row for each design, width and objective, with the objectives' own defaults."""
    rows = []
    for width in WIDTHS:
        recipe = Recipe(ModelConfig(width), CacheSetting(), TrainingConfig(), DataConfig(), seed=0)
        for design in library_names():
            genome = load_genome(design, DEPTH)[0]
            for name in NAMES:
                found = load_objective(name).measure(Context(genome, recipe))
                spread = found.get(f"{name}_spread", 0.0)
                row = {"design": design, "width": width, "objective": name}
                rows.append({**row, "value": found[name], "spread": spread})
    return rows


def fresh_run() -> pd.DataFrame:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return pd.DataFrame(json.loads(done.stdout)).set_index(["design", "width", "objective"])


def compare(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Both runs side by side, and whether they differ by no more than the larger spread."""
    table = first.add_suffix("_1").join(second.add_suffix("_2"))
    table["ratio"] = table["value_2"] / table["value_1"]
    spread = table[["spread_1", "spread_2"]].max(axis=1)
    larger = table[["value_1", "value_2"]].max(axis=1)
    smaller = table[["value_1", "value_2"]].min(axis=1)
    table["within"] = larger / smaller - 1 <= spread
    return table.round(4).reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """By objective and width: how many pairs agree within the spread, how far they differ, and
    Spearman's correlation of the two orders."""
    off = (table["ratio"].where(table["ratio"] >= 1, 1 / table["ratio"]) - 1).rename("difference")
    groups = table.assign(difference=off).groupby(["objective", "width"])
    return pd.DataFrame(
        {
            "within": groups["within"].sum().astype(str) + " of " + groups.size().astype(str),
            "median_difference": groups["difference"].median().round(3),
            "largest_difference": groups["difference"].max().round(3),
            "median_spread": groups["spread_1"].median().round(3),
            "rank_correlation": {
                key: round(group["value_1"].corr(group["value_2"], method="spearman"), 2)
                for key, group in groups
            },
        }
    )


def main() -> None:
    if "--measure" in sys.argv:
        print(json.dumps(measure_all()))
        return
    device = TrainingConfig().torch_device()
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    print(f"{machine_name(device)}; torch {torch.__version__}; load average {load}")
    table = compare(fresh_run(), fresh_run())
    table.to_csv(HERE / "results.csv", index=False)
    print(table.to_string(index=False))
    print(summary(table).to_string())


if __name__ == "__main__":
    main()
