"""Paths: things that are no files, names that are too long, of other encodings, or look like
something else."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping

from cases.case import (
    Case,
    Scratch,
    describe,
    done,
    either,
    generate,
    prepared_search,
    refused,
    tabular,
    train,
)

LONG = "a" * 300  # longer than a file system's names
DEEP = "/".join(["abcdefghi"] * 500)  # longer than a path may be


def _socket(place: Scratch) -> None:
    here = os.getcwd()
    os.chdir(place.folder)  # a socket's name may have 107 bytes
    try:
        socket.socket(socket.AF_UNIX).bind("thing")
    finally:
        os.chdir(here)


# What is no regular file, made as `thing` in the scratch folder.
THINGS: Mapping[str, Callable[[Scratch], object]] = {
    "a pipe": lambda place: os.mkfifo(place / "thing"),
    "a socket": _socket,
    "a folder": lambda place: (place / "thing").mkdir(),
    "a link to nothing": lambda place: (place / "thing").symlink_to("none_such"),
    "a link to itself": lambda place: (place / "thing").symlink_to("thing"),
    "/dev/zero": lambda place: (place / "thing").symlink_to("/dev/zero"),
    "/dev/null": lambda place: (place / "thing").symlink_to("/dev/null"),
    "/dev/urandom": lambda place: (place / "thing").symlink_to("/dev/urandom"),
    "a file below a file": lambda place: (
        place.text("f", "x"),
        (place / "thing").symlink_to("f/g"),
    ),
}
# Commands that read `thing`; the word that their refusal holds. `.yaml` because of the suffix.
READERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "genome": (describe("genome=thing.yaml"), "thing"),
    "seeds": (tabular("search.seeds=[thing.yaml]", "run_dir=run"), "thing"),
    "CSV of seeds": (tabular("search.seeds=[thing.csv]", "run_dir=run"), "thing"),
    "data.path": (train("data.path=thing", "run_dir=run"), "data"),
    "checkpoint": (generate("checkpoint=thing"), "thing"),
    "plugin": (describe("plugins=[thing.py]"), "thing"),
    "library": (describe("library=[thing]"), "thing"),
    "ledger": (tabular("ledger=thing", "run_dir=run"), "thing"),
    "table": (tabular("executor.path=thing", "run_dir=run"), "thing"),
}
# Files that a command finds inside of a folder that it is given.
INSIDE: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "genome.yaml of a checkpoint": ("training", "genome.yaml", generate("checkpoint=training")),
    "model.yaml of a checkpoint": ("training", "model.yaml", generate("checkpoint=training")),
    "weights of a checkpoint": ("training", "model.safetensors", generate("checkpoint=training")),
    "state of a training": ("training", "training_state.safetensors", train("run_dir=training")),
    "log of a training": ("training", "log.csv", train("run_dir=training")),
    "configuration of a search": ("tabular", "config.yaml", prepared_search("run_dir=tabular")),
    "ledger of a search": ("tabular", "ledger.sqlite", prepared_search("run_dir=tabular")),
    "CSV of a seed run": ("tabular", "pareto.csv", tabular("search.seeds=[tabular]", "run_dir=r")),
}
# Names that are taken as they are written, not as YAML's or Hydra's values.
LITERAL = (
    *("2026_11_25", "1e5", "0x10", "1_000", "0o17", "true", "1.0", "1.50", "+5", "12:30:45"),
    *("a b", "a=b", "a,b", "a'b", 'a"b', "[bold]x", "[/x]", "{a}", "a:b"),
    *("#x", "!x", "%x", "&x", "*x", "?x", "été", "日本", "-x", "a\\b", "a;b", "a|b", "x()"),
)
BYTES = os.fsdecode(b"caf\xe9")  # a name that is not UTF-8


def _things() -> Iterator[Case]:
    for thing, make in THINGS.items():
        for reader, (command, word) in READERS.items():
            suffix = next((part for part in (".yaml", ".csv", ".py") if part in str(command)), "")

            def prepare(place: Scratch, make: Callable = make, suffix: str = suffix) -> None:
                make(place)
                if suffix:
                    (place / "thing").rename(place / f"thing{suffix}")

            is_new = (thing, reader) == ("a link to nothing", "ledger")  # made where it points to
            expected = either("thing") if is_new else refused(word)
            yield Case(f"paths/{thing} as {reader}", command, expected, prepare, limit=20)


def _inside() -> Iterator[Case]:
    kinds = ("a pipe", "a folder", "a link to itself", "/dev/zero")
    for name, (fixture, file, command) in INSIDE.items():
        for kind in kinds:

            def prepare(
                place: Scratch, fixture: str = fixture, file: str = file, kind: str = kind
            ) -> None:
                path = place.copy(fixture) / file
                path.unlink()
                THINGS[kind](place)
                (place / "thing").rename(path)

            # A link that leads nowhere may be taken for a file that is not there.
            is_open = file == "log.csv" or (kind == "a link to itself" and fixture == "tabular")
            is_open |= kind == "a link to itself" and file.startswith("training_state")
            expected = either() if is_open else refused(file.partition(".")[0])
            yield Case(f"paths/{kind} as {name}", command, expected, prepare, limit=20)


def _lengths() -> Iterator[Case]:
    for name, text in (("300 characters", LONG), ("5,000 characters", DEEP)):
        commands = {
            "describe genome": describe(f"genome={text}"),
            "describe genome file": describe(f"genome={text}.yaml"),
            "train genome": train(f"genome={text}", "run_dir=run"),
            "train run_dir": train(f"run_dir={text}"),
            "evolve run_dir": tabular(f"run_dir={text}"),
            "evolve ledger": tabular(f"ledger={text}.sqlite", "run_dir=run"),
            "evolve seeds": tabular(f"search.seeds=[{text}]", "run_dir=run"),
            "evolve baselines": tabular(f"search.baselines=[{text}]", "run_dir=run"),
            "evolve experiment": ("evolve", f"+experiment={text}"),
            "evolve experiment_name": tabular(f"experiment_name={text}"),
            "evolve executor.path": tabular(f"executor.path={text}", "run_dir=run"),
            "data.path": train(f"data.path={text}", "run_dir=run"),
            "data.path glob": train(f"data.path={text}/*", "run_dir=run"),
            "checkpoint": generate(f"checkpoint={text}"),
            "plugins": describe(f"plugins=[{text}]"),
            "library": describe(f"library=[{text}]"),
            "config-dir": ("evolve", "--config-dir", text, "--cfg", "job"),
            "describe <run>/<id>": describe(f"genome={text}/abc", "lineage=true"),
        }
        for what, command in commands.items():
            yield Case(f"paths/{what} of {name}", command, refused())
        yield Case(
            f"paths/STAR_CACHE_DIR of {name}",
            train("run_dir=run"),
            refused("STAR_CACHE_DIR"),
            environment=(("STAR_CACHE_DIR", f"/tmp/{text}"),),
        )


def _exists(name: str) -> Callable[[Scratch], str]:
    def check(place: Scratch) -> str:
        there = sorted(path.name for path in place.folder.iterdir())
        return "" if (place / name).is_dir() else f"no folder {name!r} but {there}"

    return check


def _literal() -> Iterator[Case]:
    for name in LITERAL:
        yield Case(
            f"paths/run_dir named {name}",
            tabular(f"run_dir={name}"),
            done(),
            check=_exists(name),
        )
    for name in ("2026_11_25", "1e5", "true", "a,b", "[/x]", "a=b"):

        def prepare(place: Scratch, name: str = name) -> None:
            place.copy("training", name)
            place.text(f"{name}.yaml", 'schema: 1\nname: mine\ngenome: "11111-91111"\n')
            place.copy("texts", f"texts_{name}")

        yield Case(
            f"paths/checkpoint named {name}", generate(f"checkpoint={name}"), done(), prepare
        )
        yield Case(
            f"paths/genome named {name}", describe(f"genome={name}.yaml"), done("mine"), prepare
        )
        words = train(f"data.path=texts_{name}", f"run_dir=run_{name}")
        yield Case(f"paths/data.path named {name}", words, done(), prepare)
        words = tabular(f"ledger=l_{name}", "run_dir=run")
        yield Case(
            f"paths/ledger named {name}",
            words,
            done(),
            check=lambda place, name=name: (
                "" if (place / f"l_{name}").is_file() else "no such ledger"
            ),
        )


def _bytes() -> Iterator[Case]:
    def prepare(place: Scratch) -> None:
        place.copy("training", BYTES)
        place.text(f"{BYTES}.yaml", 'schema: 1\nname: mine\ngenome: "11111-91111"\n')
        place.copy("texts", f"{BYTES}_texts")

    commands = {
        "run_dir of a search": tabular(f"run_dir=new_{BYTES}"),
        "run_dir of a training": train(f"run_dir=new_{BYTES}"),
        "checkpoint": generate(f"checkpoint={BYTES}"),
        "genome": describe(f"genome={BYTES}.yaml"),
        "data.path": train(f"data.path={BYTES}_texts", "run_dir=run"),
        "seeds": tabular(f"search.seeds=[{BYTES}.yaml]", "run_dir=run"),
        "ledger": tabular(f"ledger={BYTES}.sqlite", "run_dir=run"),
        "genome that is not there": describe(f"genome=none_{BYTES}.yaml"),
        "key": describe(f"{BYTES}=5"),
        "prompt": generate("checkpoint=training_", f"prompt={BYTES}"),
    }
    for name, command in commands.items():
        yield Case(f"paths/not UTF-8: {name}", command, either(), prepare)
    yield Case(
        "paths/not UTF-8: prompt of a checkpoint",
        generate("checkpoint=training", f"prompt={BYTES}"),
        either("prompt"),
        lambda place: place.copy("training"),
    )


CASES = (*_things(), *_inside(), *_lengths(), *_literal(), *_bytes())
