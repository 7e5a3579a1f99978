"""What a grown model gains from the weights of the small one (`training.init_from`).

    nice -n 15 python experiments/composer/transfer.py --work <folder> 0 1

Trains composer_6, then it stacked to twice the depth, and at twice the width, from nothing, from
copies and from copies of which the first alone has an output. Held-out losses every `EVERY` steps
are kept in transfer.csv. The same command goes on where it was.
"""

import argparse
from pathlib import Path

import pandas as pd

from star import train
from star.base.command_line import compose_config

HERE = Path(__file__).parent
SMALL_STEPS, STEPS, EVERY = 800, 400, 50
COMMON = (
    *("training.length=256", "training.schedule=constant", "training.learning_rate=3e-3"),
    *("training.validation_batches=4", "tensorboard=never"),
)
SMALL = "31111-31111-91111-91111-91111-91111"  # 2A+4M
# Sizes of what is grown, by name.
GROWN = {"deeper": ("-".join([SMALL] * 2), 64), "wider": (SMALL, 128)}
BEGINNINGS = {
    "nothing": (),
    "copies": ("training.init_copies=copy",),
    "silent copies": ("training.init_copies=identity",),
}


def trained(folder: Path, *settings: str) -> pd.DataFrame:
    """The log of a training in a folder, which goes on where it was."""
    arguments = [*COMMON, *settings, f"run_dir={folder}"]
    train.main(compose_config("train", arguments), arguments)
    log = pd.read_csv(folder / "log.csv")
    return log[log["validation_loss"].notna()]


def main() -> None:
    """Train, keep and print the losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("seeds", type=int, nargs="+")
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for seed in arguments.seeds:
        work, own = arguments.work / str(seed), f"seed={seed}"
        every = ("checkpoint_every=100", f"validate_every={EVERY}")
        log = trained(work / "small", f"genome={SMALL}", own, f"steps={SMALL_STEPS}", *every)
        rows += [{"seed": seed, "size": "small", **row} for row in measured(log)]
        for size, (genome, width) in GROWN.items():
            for name, settings in BEGINNINGS.items():
                if size == "wider" and name == "silent copies":  # there are no copies of LIVs
                    continue
                if settings:
                    settings = (*settings, f"training.init_from={work / 'small'}")
                sizes = (f"genome={genome}", f"width={width}", own, f"steps={STEPS}", *every)
                log = trained(work / f"{size}_{name.replace(' ', '_')}", *sizes, *settings)
                found = {"seed": seed, "size": size, "beginning": name}
                rows += [{**found, **row} for row in measured(log)]
        pd.DataFrame(rows).round(5).to_csv(HERE / "transfer.csv", index=False, lineterminator="\n")
    table = pd.DataFrame(rows)
    means = table[table["size"] != "small"].groupby(["size", "beginning", "step"])
    print(means["validation_loss"].mean().unstack("step").round(3).to_string())


def measured(log: pd.DataFrame) -> list[dict[str, object]]:
    """Steps and held-out losses."""
    return log[["step", "validation_loss"]].to_dict("records")  # type: ignore[return-value]


if __name__ == "__main__":
    main()
