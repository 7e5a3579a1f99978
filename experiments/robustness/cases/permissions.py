"""Files and folders that the user may not read, enter or write."""

import os
from collections.abc import Callable, Iterator, Mapping

from cases.case import (
    Case,
    Expected,
    Scratch,
    describe,
    either,
    generate,
    prepared_search,
    refused,
    tabular,
    train,
)

RESUME = prepared_search("run_dir=tabular")
DESIGN = 'schema: 1\nname: mine\ngenome: "11111-91111"\n'


def _locked(mode: int, *names: str) -> Callable[[Scratch], None]:
    """A preparation that sets the mode of files or folders, the innermost first."""

    def prepare(place: Scratch) -> None:
        place.copy("training")
        place.copy("tabular")
        place.copy("texts")
        place.text("own/mine.yaml", DESIGN)
        place.text("own/mine.py", "")
        place.text("own/mine.csv", "genome,status\n11111-91111-11111,ok\n")
        place.text("own/experiment/mine.yaml", "# @package _global_\nseed: 1\n")
        (place / "empty").mkdir()
        (place / "cache" / "corpora").mkdir(parents=True)
        for name in names:
            os.chmod(place / name, mode)

    return prepare


Locked = tuple[tuple[str, ...], int, tuple[str, ...], Expected]
LOCKED: Mapping[str, Locked] = {
    # name: command, mode, what has it, expected
    "run_dir below a read-only folder": (
        tabular("run_dir=empty/run"), 0o555, ("empty",), refused("empty/run")),
    "run_dir below a closed folder": (
        tabular("run_dir=empty/run"), 0o000, ("empty",), refused("empty/run")),
    "run_dir itself read-only": (tabular("run_dir=empty"), 0o555, ("empty",), refused("empty")),
    "run_dir itself closed": (tabular("run_dir=empty"), 0o000, ("empty",), refused("empty")),
    "training below a read-only folder": (
        train("run_dir=empty/run"), 0o555, ("empty",), refused("empty/run")),
    "training below a closed folder": (
        train("run_dir=empty/run"), 0o000, ("empty",), refused("empty/run")),
    "training in a read-only folder": (train("run_dir=empty"), 0o555, ("empty",), refused("empty")),
    "resume in a read-only run": (
        RESUME, 0o555, ("tabular",), refused("tabular")),
    "resume in a closed run": (RESUME, 0o000, ("tabular",), refused("tabular")),
    "resume with a closed ledger": (
        RESUME, 0o000, ("tabular/ledger.sqlite",), refused("ledger")),
    "resume with a read-only ledger": (
        RESUME, 0o444, ("tabular/ledger.sqlite",), refused("ledger")),
    "resume with a closed configuration": (
        RESUME, 0o000, ("tabular/config.yaml",), refused("config.yaml")),
    "resume with read-only genomes/": (
        (*RESUME, "search.generations=6"), 0o555, ("tabular/genomes",),
        either("tabular")),
    "resume with closed genomes/": (
        (*RESUME, "search.generations=6"), 0o000, ("tabular/genomes",),
        either("tabular")),
    "resume of a training with a closed state": (
        train("run_dir=training"), 0o000, ("training/training_state.safetensors",),
        refused("training_state")),
    "resume of a training with a closed log": (
        train("run_dir=training"), 0o000, ("training/log.csv",), either("training")),
    "resume of a training in a read-only folder": (
        train("run_dir=training"), 0o555, ("training",), refused("training")),
    "a closed genome file": (
        describe("genome=own/mine.yaml"), 0o000, ("own/mine.yaml",), refused("own/mine.yaml")),
    "a genome file in a closed folder": (
        describe("genome=own/mine.yaml"), 0o000, ("own",), refused("own/mine.yaml")),
    "a genome file in a folder without entry": (
        describe("genome=own/mine.yaml"), 0o444, ("own",), refused("own/mine.yaml")),
    "a genome of a closed run": (
        describe("genome=tabular/abc"), 0o000, ("tabular",), refused("tabular")),
    "training a closed genome file": (
        train("genome=own/mine.yaml", "run_dir=r"), 0o000, ("own/mine.yaml",),
        refused("mine.yaml")),
    "a closed checkpoint": (
        generate("checkpoint=training"), 0o000, ("training",), refused("training")),
    "a checkpoint in a closed folder": (
        generate("checkpoint=empty/training"), 0o000, ("empty",), refused("empty/training")),
    "a checkpoint without entry": (
        generate("checkpoint=training"), 0o444, ("training",), refused("training")),
    "closed weights": (
        generate("checkpoint=training"), 0o000, ("training/model.safetensors",),
        refused("model.safetensors")),
    "a closed model.yaml": (
        generate("checkpoint=training"), 0o000, ("training/model.yaml",), refused("model.yaml")),
    "closed texts": (train("data.path=texts", "run_dir=r"), 0o000, ("texts",), refused("texts")),
    "texts without entry": (
        train("data.path=texts", "run_dir=r"), 0o444, ("texts",), refused("texts")),
    "texts in a closed folder": (
        train("data.path=empty/texts", "run_dir=r"), 0o000, ("empty",), refused("empty/texts")),
    "one closed text": (
        train("data.path=texts", "run_dir=r"), 0o000, ("texts/text_03.txt",),
        refused("text_03.txt")),
    "a glob of closed texts": (
        train("data.path=texts/*", "run_dir=r"), 0o000, ("texts",), refused("texts")),
    "a closed seed": (
        tabular("search.seeds=[own/mine.yaml]", "run_dir=r"), 0o000, ("own/mine.yaml",),
        refused("mine.yaml")),
    "a closed folder of seeds": (
        tabular("search.seeds=[own]", "run_dir=r"), 0o000, ("own",), refused("own", "ermission")),
    "a folder of seeds without entry": (
        tabular("search.seeds=[own]", "run_dir=r"), 0o444, ("own",), refused("own", "ermission")),
    "seeds in a closed folder": (
        tabular("search.seeds=[own/mine.yaml]", "run_dir=r"), 0o000, ("own",), refused("own")),
    "a closed CSV of seeds": (
        tabular("search.seeds=[own/mine.csv]", "run_dir=r"), 0o000, ("own/mine.csv",),
        refused("mine.csv")),
    "a closed seed run": (
        tabular("search.seeds=[tabular]", "run_dir=r"), 0o000, ("tabular",), refused("tabular")),
    "a closed library": (describe("library=[own]"), 0o000, ("own",), refused("own")),
    "a closed plugin": (
        describe("plugins=[own/mine.py]"), 0o000, ("own/mine.py",), refused("mine.py")),
    "a plugin in a closed folder": (
        describe("plugins=[own/mine.py]"), 0o000, ("own",), refused("mine.py")),
    "a closed experiment": (
        ("evolve", "--config-dir", "own", "+experiment=mine"), 0o000, ("own/experiment/mine.yaml",),
        refused("mine")),
    "a closed --config-dir": (
        ("evolve", "--config-dir", "own", "+experiment=mine"), 0o000, ("own",), refused("own")),
    "a ledger in a read-only folder": (
        tabular("ledger=empty/l.sqlite", "run_dir=r"), 0o555, ("empty",), refused("l.sqlite")),
    "a ledger in a closed folder": (
        tabular("ledger=empty/l.sqlite", "run_dir=r"), 0o000, ("empty",), refused("l.sqlite")),
    "a table in a closed folder": (
        tabular("executor.path=empty/t.csv", "run_dir=r"), 0o000, ("empty",), refused("t.csv")),
    "no run_dir in a read-only folder": (
        tabular("experiment_name=x"), 0o555, (".",), refused("runs/x")),
}  # fmt: skip


def _cache(mode: int, folder: str, name: str) -> Case:
    return Case(
        f"permissions/{name}",
        train("run_dir=run"),
        refused("STAR_CACHE_DIR"),
        _locked(mode, folder),
        environment=(("STAR_CACHE_DIR", "cache"),),
        plain_user=True,
    )


def _cases() -> Iterator[Case]:
    for name, (command, mode, names, expected) in LOCKED.items():
        yield Case(f"permissions/{name}", command, expected, _locked(mode, *names), plain_user=True)
    yield _cache(0o000, "cache/corpora", "a closed corpus cache")
    yield _cache(0o555, "cache/corpora", "a read-only corpus cache")
    yield _cache(0o000, "cache", "a closed cache folder")


CASES = tuple(_cases())
