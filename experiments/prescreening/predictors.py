"""What predicts the losses of the tabular benchmark: regressions on features, and proxies.

    OMP_NUM_THREADS=1 python experiments/prescreening/predictors.py

Prints the tables of the README. Regressions learn from some architectures (seed 0 of the table) and
rank all others; proxies score 200 architectures, ranked by the mean of both seeds.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent.parent / "tabular"))

from methods import load_config  # pyright: ignore

from star.evaluation.executors import TableConfig
from star.evaluation.proxies import PROXIES, ProxyScores
from star.genomes import Genome, parameter_count
from star.search.prescreening.regression import rank_correlation, ridge
from star.search.recipe import make_recipe
from star.search.space.features import Features

SIZES, REPEATS, STEPS, SCORED = (16, 32, 64, 128), 8, 80, 200


def gaussian_process() -> Any:
    """With noise, on standardised columns."""
    kernel = ConstantKernel() * RBF(10) + WhiteKernel(0.1)
    return make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True))


MODELS: dict[str, Callable[[], Any]] = {
    "ridge (used)": ridge,
    "Gaussian process": gaussian_process,
    "gradient boosting": lambda: GradientBoostingRegressor(
        n_estimators=200, max_depth=3, learning_rate=0.05, subsample=0.7, random_state=0
    ),
    "random forest": lambda: RandomForestRegressor(100, random_state=0, n_jobs=1),
}


def print_models(known: np.ndarray, losses: np.ndarray) -> None:
    """Rank correlation with the rest of the table, by rows learnt from."""
    print(f"| model | {' | '.join(f'{n} rows' for n in SIZES)} |\n|---|{'---|' * len(SIZES)}")
    for name, make in MODELS.items():
        cells = []
        for size in SIZES:
            rng, found = np.random.default_rng(0), []
            for _ in range(REPEATS):
                order = rng.permutation(len(losses))
                model = make().fit(known[order[:size]], losses[order[:size]])
                rest = order[size:]
                found.append(rank_correlation(model.predict(known[rest]), losses[rest]))
            cells.append(f"{np.mean(found):.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_proxies(genomes: list[Genome], losses: np.ndarray, recipe: Any) -> None:
    """Rank correlation of each score with the loss, and its cost."""
    print("\n| score | Spearman with the loss | core-seconds |\n|---|---|---|")
    counts = [float(parameter_count(g, recipe.model).non_embedding) for g in genomes]
    print(f"| parameters | {rank_correlation(np.array(counts), losses):+.2f} | 0 |")
    for name in PROXIES:
        scores = ProxyScores(name, recipe)
        scores(genomes[0])
        began = time.process_time()
        values = np.array([scores(genome) for genome in genomes])
        seconds = (time.process_time() - began) / len(genomes)
        print(f"| {name} | {rank_correlation(values, losses):+.2f} | {seconds:.3f} |", flush=True)


def main() -> None:
    """Print both tables."""
    table, config = TableConfig().read(), load_config()
    recipe = make_recipe(config)[1]
    genomes = [Genome.from_text(text) for text in table.rows["genome"].unique()]
    by_seed = np.array([[table.losses[g.id, seed][STEPS] for seed in (0, 1)] for g in genomes])
    features = Features(config.search.alphabet(), config.depth, recipe.model, recipe.cache)
    print_models(features.matrix(genomes), by_seed[:, 0])
    chosen = np.random.default_rng(0).permutation(len(genomes))[:SCORED]
    print_proxies([genomes[n] for n in chosen], by_seed[chosen].mean(axis=1), recipe)


if __name__ == "__main__":
    main()
