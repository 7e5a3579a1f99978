"""What the tables of `study.py` say: prints those of the README.

python experiments/composer/analyse.py
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, spearmanr
from study import (  # pyright: ignore
    DEEP,
    HERE,
    LARGE,
    LARGE_STEPS,
    LOSS,
    METHODS,
    aggregates,
    mean_losses,
    space,
    word,
)

from star.genomes import Genome, load_genome

RECALL = "recall_error"
MAD_ERROR = "mad_error"  # 1 - the score of `quick`
EVALUATORS = {LOSS: "small", RECALL: "small", MAD_ERROR: "mad"}  # and the stage that has them
PUBLISHED = "composer_6"
Values = dict[int, pd.Series]  # by seed; by genome text


def tables(stage: str) -> dict[int, pd.DataFrame]:
    """Rows of a stage by genome text, for each seed that is there."""
    found = {}
    for path in sorted(HERE.glob(f"{stage}_*.csv")):
        frame = pd.read_csv(path).set_index("genome")
        if "mad_score" in frame:
            frame[MAD_ERROR] = 1 - frame["mad_score"]
        found[int(path.stem.rpartition("_")[2])] = frame[frame["status"] == "ok"]
    return found


def evaluations() -> dict[str, Values]:
    """What each evaluator says of the small designs, with each seed that is there."""
    stages = {stage: tables(stage) for stage in set(EVALUATORS.values())}
    found = {
        name: {seed: table[name] for seed, table in stages[stage].items()}
        for name, stage in EVALUATORS.items()
    }
    return {name: values for name, values in found.items() if values}


def mean(values: Values) -> pd.Series:
    """Over seeds."""
    return pd.concat(list(values.values()), axis=1).mean(axis=1)


def correlation(first: Sequence[float], second: Sequence[float]) -> str:
    """Spearman's, with its 95% bootstrap interval over designs."""
    pairs = np.array([first, second], dtype=float)

    def spearman(a: np.ndarray, b: np.ndarray) -> float:
        return float(spearmanr(a, b)[0])  # type: ignore[arg-type]

    found = bootstrap(
        tuple(pairs), spearman, paired=True, vectorized=False, n_resamples=2000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return f"{spearman(*pairs):.2f} [{found.low:.2f}, {found.high:.2f}]"


def print_ranks(found: dict[str, Values]) -> None:
    """Where Composer's design stands among all 64, and who is best."""
    published = load_genome(PUBLISHED)[0].canonical().to_text()
    print("| evaluator | seed | rank of 2A+4M of 64 | its value | best | worst | best designs |")
    print("|---|---|---|---|---|---|---|")
    for name, values in found.items():
        for seed, own in {**values, "mean": mean(values)}.items():
            order = own.sort_values()
            rank = int((own < own[published]).sum()) + 1
            best = ", ".join(word(Genome.from_text(str(text))) for text in order.index[:4])
            print(
                f"| {name} | {seed} | {rank} | {own[published]:.3f} | {order.iloc[0]:.3f} "
                f"| {order.iloc[-1]:.3f} | {best} |"
            )


def print_agreement(found: dict[str, Values]) -> None:
    """How far seeds and evaluators agree over the 64."""
    print("\n| over all 64 | Spearman |\n|---|---|")
    for name, values in found.items():
        for first, second in combinations(values, 2):
            one, other = values[first].align(values[second], join="inner")
            agreement = correlation(one.tolist(), other.tolist())
            print(f"| {name}, seeds {first} and {second} | {agreement} |")
    for first, second in combinations(found, 2):
        one, other = mean(found[first]).align(mean(found[second]), join="inner")
        agreement = correlation(one.tolist(), other.tolist())
        print(f"| mean {first} and mean {second} | {agreement} |")


def print_positions() -> None:
    """How often the best sixteen have an attention at each position, and the aggregates."""
    losses = mean_losses()
    words = [word(Genome.from_text(text)) for text in losses.index[: len(space()) // 4]]
    shares = [sum(letters[place] == "A" for letters in words) for place in range(len(words[0]))]
    print(f"\nattentions by position among the best {len(words)}: {shares}")
    for rule, genome in aggregates().items():
        rank = losses.index.get_loc(genome.canonical().to_text()) + 1  # type: ignore[operator]
        print(f"rule {rule}: {word(genome)}, rank {rank} of {len(losses)}")


def print_grown(found: dict[str, Values], grown: dict[int, pd.DataFrame]) -> None:
    """Whether small ranks are large ranks, and the aggregates stacked and stretched."""
    large = mean({seed: table[LOSS] for seed, table in grown.items()})
    columns = {name: mean(values) for name, values in found.items()}
    columns["number of attentions"] = pd.Series(
        {genome.to_text(): -word(genome).count("A") for genome in space()}, dtype=float
    )
    stacked = {
        genome.to_text(): METHODS["stack"](genome, LARGE).canonical().to_text()
        for genome in space()
    }
    both = [text for text, deep in stacked.items() if deep in large.index]
    print(f"\n| of {len(both)} designs at 6 LIVs | Spearman with the loss of them stacked to 12 |")
    print("|---|---|")
    ends = [large[stacked[text]] for text in both]
    for name, values in columns.items():
        print(f"| {name} | {correlation([values[text] for text in both], ends)} |")
    print(
        "\n| design | 12 LIVs by | loss at 12 | rank among all that were grown |\n|---|---|---|---|"
    )
    chosen = {
        **{f"rule {r}": g for r, g in aggregates().items()},
        "2A+4M": load_genome(PUBLISHED)[0],
    }
    pairs = [(name, genome, method) for name, genome in chosen.items() for method in METHODS]
    for name, genome, method in pairs:
        deep = METHODS[method](genome, LARGE).canonical()
        if deep.to_text() in large.index:
            loss = large[deep.to_text()]
            rank = f"{int((large < loss).sum()) + 1} of {len(large)}"
            print(f"| {name} {word(genome)} | {method} {word(deep)} | {loss:.3f} | {rank} |")


def print_incremental(small: dict[int, pd.DataFrame]) -> None:
    """What stages of two LIVs find, each trained exhaustively, beside as many LIVs trained at once:
    the mean rank of the best of so many random strings of six."""
    stages = [tables("two"), tables("four"), small]
    count = round(4 * (2 + 4 + 6) / 6)  # strings of six that cost as much
    chance = (64 + 1) / (count + 1)
    print("\n| mode | seed | finds | rank of 64 |\n|---|---|---|---|")
    for mode in ("end", "middle"):
        for seed in sorted(set.intersection(*(set(stage) for stage in stages))):
            best, losses = "", {}
            for stage in stages:
                losses = by_word(stage[seed])
                half = len(best) if mode == "end" else (len(best) + 1) // 2
                fits = {w: v for w, v in losses.items() if fixed(w, best, half)}
                best = min(fits, key=fits.__getitem__)
            rank = sum(value < losses[best] for value in losses.values()) + 1
            print(f"| {mode}_incremental | {seed} | {best} | {rank} |")
    print(f"| one shot, the best of {count} drawn at random, in the mean | | | {chance:.1f} |")


def print_full_depth(grown: dict[int, pd.DataFrame], finals: dict[int, pd.DataFrame]) -> None:
    """The best small design stacked, beside what a search at full depth finds for as much."""
    large, found = (
        mean({seed: table[LOSS] for seed, table in stage.items()}) for stage in (grown, finals)
    )
    ranked = [Genome.from_text(str(text)) for text in mean_losses().index]
    deep = [METHODS["stack"](genome, LARGE).canonical().to_text() for genome in ranked]
    place = next(n for n, text in enumerate(deep) if text in large.index)
    print(f"\n| search | its best | loss after {LARGE_STEPS} steps |\n|---|---|---|")
    first = f"all 64 of 6 LIVs, then place {place + 1} stacked, the first that was grown"
    print(f"| {first} | {word(ranked[place])} | {large[deep[place]]:.3f} |")
    for place, text in enumerate(mean_losses("deep").index[: len(found)], start=1):
        name = f"{DEEP} of 12 LIVs at random, the same tokens times parameters, place {place}"
        print(f"| {name} | {word(Genome.from_text(str(text)))} | {found[text]:.3f} |")


def by_word(table: pd.DataFrame) -> dict[str, float]:
    """Losses of a stage by string."""
    return {word(Genome.from_text(str(text))): loss for text, loss in table[LOSS].items()}


def fixed(name: str, best: str, half: int) -> bool:
    """Whether a string begins and ends as what is fixed of another."""
    return name.startswith(best[:half]) and name.endswith(best[half:])


def main() -> None:
    """Print what there is."""
    small, grown = tables("small"), tables("grown")
    if not small:
        raise SystemExit(f"{HERE}: no small_<seed>.csv; study.py makes them")
    found = evaluations()
    print_ranks(found)
    print_agreement(found)
    print_positions()
    if tables("four"):
        print_incremental(small)
    if grown:
        print_grown(found, grown)
    if grown and tables("finals"):
        print_full_depth(grown, tables("finals"))


if __name__ == "__main__":
    main()
