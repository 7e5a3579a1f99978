"""Disks that are full, or become so; what was left must go on when there is space again."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from cases.case import (
    Case,
    Expected,
    Scratch,
    done,
    either,
    failed,
    generate,
    prepared_search,
    refused,
    smoke,
    tabular,
    train,
)
from star.runs.columns import TIMING_COLUMNS

SIZES = ("4k", "8k", "16k", "24k", "32k", "40k", "48k", "60k", "80k", "100k", "140k", "200k")


def leftovers(folder: Path) -> str:
    """Names of files that were begun and are of no use, in words; empty without."""
    found = [path.name for path in folder.rglob(".*.*") if path.name.rpartition(".")[2].isdecimal()]
    return f"half-written files stay: {', '.join(found)}" if found else ""


def _grown(size: str = "100m") -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        command = ["mount", "-o", f"remount,size={size}", str(place / "disk")]
        subprocess.run(command, check=True, capture_output=True)

    return prepare


def same_population(one: Path, other: Path) -> str:
    """Whether two runs hold the same candidates with the same results, in words."""
    tables = [pd.read_csv(path / "population.csv", dtype=str) for path in (one, other)]
    kept = [table.drop(columns=list(TIMING_COLUMNS)) for table in tables]
    lengths = " and ".join(str(len(table)) for table in kept)
    return "" if kept[0].equals(kept[1]) else f"another population than undisturbed: {lengths} rows"


def _compared(place: Scratch) -> str:
    run = place / "disk/run"
    return leftovers(run) or same_population(run, place.shared / "tabular")


def _searches() -> Iterator[Case]:
    command = prepared_search("run_dir=disk/run")
    for size in SIZES:
        again = Case("", command, done(), _grown(), check=_compared)
        yield Case(
            f"disk/a search on {size}",
            command,
            either("disk/run"),
            check=lambda place: leftovers(place / "disk"),
            again=again,
            disk=size,
        )


def _trainings() -> Iterator[Case]:
    for size in ("4k", "16k", "40k", "80k", "120k", "200k", "400k", "800k"):
        again = Case("", train("run_dir=disk/run"), done("validation_loss"), _grown())
        yield Case(
            f"disk/a training on {size}",
            train("run_dir=disk/run"),
            either("disk/run"),
            check=lambda place: leftovers(place / "disk"),
            again=again,
            disk=size,
        )
    yield Case(
        "disk/a checkpoint that shall go on, on a full disk",
        train("run_dir=disk/training"),
        either("disk/training"),
        lambda place: (place.copy("training", "disk/training"), _filled(place)),
        disk="2m",
    )


def _filled(place: Scratch) -> None:
    """Fill the small disk to the last byte."""
    with (place / "disk/filling").open("wb", buffering=0) as stream:
        try:
            while stream.write(b"x" * 4096):
                pass
        except OSError:
            return


def _others() -> Iterator[Case]:
    yield Case(
        "disk/a full disk for the corpus cache",
        train("run_dir=run"),
        refused("STAR_CACHE_DIR"),
        _filled,
        environment=(("STAR_CACHE_DIR", "disk"),),
        disk="16k",
    )
    yield Case(
        "disk/a full disk for the ledger",
        tabular("run_dir=run", "ledger=disk/ledger.sqlite"),
        refused("disk/ledger.sqlite"),
        _filled,
        disk="16k",
    )
    yield Case(
        "disk/a full disk while a ledger grows",
        tabular("run_dir=run", "ledger=disk/ledger.sqlite", "search.generations=100"),
        refused("disk/ledger.sqlite"),
        disk="60k",
    )
    halving = ("search.halving.rungs=[2]", "ledger=l.sqlite", "run_dir=disk/run")
    again = Case("", smoke(*halving), done(silent=("build_error",)), _grown(), limit=120)
    yield Case(
        "disk/a full disk while a rung is kept",
        smoke(*halving),
        either("disk"),
        again=again,
        disk="200k",
        limit=120,
    )
    for name, command in {
        "a search": tabular("run_dir=run"),
        "a training": train("run_dir=run"),
    }.items():
        for size in (3000, 20_000):
            yield Case(
                f"disk/files of at most {size} bytes, {name}",
                command,
                either("run"),
                check=lambda place: leftovers(place / "run"),
                file_size=size,
            )
    yield Case(
        "disk/a full disk for the output of a search",
        tabular("run_dir=run"),
        Expected((0, 1, 2)),
        output="full",
    )
    yield Case(
        "disk/a full disk for generated text",
        generate("checkpoint=training"),
        failed(),
        lambda place: place.copy("training"),
        output="full",
    )


CASES = (*_searches(), *_trainings(), *_others())
