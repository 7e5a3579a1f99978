"""Perplexity against total state: the exponent of MAD's scaling law at the scale of a CPU.

    python experiments/mad_state_scaling/fit.py [<table such as truth.csv> ...]

The trainings are those of experiments/proxy_validity: designs of eight LIVs, width 64, 4,000 steps
of 8 x 256 bytes. Total state is counted as in MAD (`star.genomes.state_elements`), at the 256
positions of a window. Fits log(perplexity) = a + c log(state) over designs, each the mean of its
seeds, and the same with log(parameters) beside it, since these differ too; intervals are of a
bootstrap over designs. MAD has c = -0.28 (arXiv 2403.17844). Writes points.csv beside this file.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from star.genomes import Genome, ModelConfig, parameter_count, state_elements

HERE = Path(__file__).parent
TRUTH = HERE.parent / "proxy_validity"
STEPS, CONTEXT, MODEL = 4000, 256, ModelConfig(width=64, window=64)
PUBLISHED = -0.28
REPEATS, SEED = 10_000, 0

Floats = npt.NDArray[np.float64]


def points(paths: list[Path]) -> pd.DataFrame:
    """Design, state, parameters and perplexity a byte, for designs that were trained to the end."""
    rows = pd.concat([pd.read_csv(path) for path in paths])
    losses = rows[rows["step"] == STEPS].dropna(subset="loss").groupby("design")["loss"]
    designs = pd.read_csv(TRUTH / "designs.csv", dtype=str).set_index("design")
    found = []
    for design, values in losses:
        row = designs.loc[str(design)]
        genome = Genome.from_text(str(row["genome"]), str(row["alphabet"]))
        found.append(
            {
                "design": design,
                "state": state_elements(genome, MODEL, CONTEXT),
                "parameters": parameter_count(genome, MODEL).non_embedding,
                "seeds": len(values),
                "perplexity": float(np.exp(values.mean())),
            }
        )
    return pd.DataFrame(found)


def slopes(table: pd.DataFrame, columns: list[str]) -> Floats:
    """Exponents of the columns in a power law of the perplexity, by least squares."""
    logs = np.log(table[columns].to_numpy(dtype=float))
    design = np.column_stack([np.ones(len(logs)), logs])
    target = np.log(table["perplexity"].to_numpy(dtype=float))
    return np.linalg.lstsq(design, target, rcond=None)[0][1:]


def interval(table: pd.DataFrame, columns: list[str]) -> Floats:
    """The 2.5% and 97.5% quantiles of the first exponent, over designs drawn with replacement."""
    rng = np.random.default_rng(SEED)
    drawn = (rng.integers(len(table), size=len(table)) for _ in range(REPEATS))
    found = [slopes(table.iloc[rows], columns)[0] for rows in drawn]
    return np.quantile(found, (0.025, 0.975))


def main() -> None:
    """Read, fit, print, write the points."""
    paths = [Path(argument) for argument in sys.argv[1:]] or [TRUTH / "truth.csv"]
    table = points(paths)
    table.to_csv(HERE / "points.csv", index=False, float_format="%.6g")
    has_state = table[table["state"] > 0]
    states = has_state["state"]
    print(f"{len(has_state)} designs with {states.min():,} to {states.max():,} elements of state")
    for columns in (["state"], ["state", "parameters"]):
        low, high = interval(has_state, columns)
        exponent = slopes(has_state, columns)[0]
        beside = " beside parameters" if len(columns) > 1 else ""
        print(
            f"exponent of state{beside}: {exponent:+.4f}, 95% interval {low:+.4f} to {high:+.4f}"
            f" (published {PUBLISHED})"
        )


if __name__ == "__main__":
    main()
