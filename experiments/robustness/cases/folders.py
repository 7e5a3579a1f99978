"""Run folders: files that are not the run's own, two processes in one folder, and resuming."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from launch import Process

from cases.case import (
    Case,
    Expected,
    Scratch,
    describe,
    done,
    either,
    failed,
    prepared_search,
    refused,
    smoke,
    tabular,
    train,
)

DESIGN = 'schema: 1\nname: mine\ngenome: "11111-91111-11111"\n'
FOREIGN: Mapping[str, str] = {
    "genomes/mine.yaml": DESIGN,
    "genomes/notes.txt": "mine",
    "config.yaml": "mine: true\n",
    "environment.json": "mine",
    "command.txt": "mine",
    "population.csv": "mine\n",
    "pareto.csv": "my report\n",
    "ledger.sqlite": "mine",
    "states/mine.safetensors": "mine",
    "log.csv": "mine\n",
    "genome.yaml": DESIGN,
    "model.yaml": "mine: true\n",
    "model.safetensors": "mine",
    "training_state.safetensors": "mine",
    "evaluation.json": "mine",
    "notes.txt": "mine",
    ".hidden": "mine",
}
LONG_SEARCH = smoke("run_dir=run", "training.steps=100000")
LONG_TRAINING = train("run_dir=run", steps=10**6)


def _kept(name: str, content: str, folder: str = "mine") -> Callable[[Scratch], str]:
    def check(place: Scratch) -> str:
        path = place / folder / name
        if not path.exists():
            return f"{name} was deleted"
        return "" if path.read_bytes() == content.encode() else f"{name} was overwritten"

    return check


def _foreign() -> Iterator[Case]:
    for name, content in FOREIGN.items():
        for verb, command in (
            ("search", tabular("run_dir=mine")),
            ("training", train("run_dir=mine", steps=2)),
        ):
            yield Case(
                f"folders/a {verb} beside {name}",
                command,
                either("mine"),
                lambda place, name=name, text=content: place.text(f"mine/{name}", text),
                check=_kept(name, content),
            )
    for place_of in ("a file", "a link out", "a link to nothing"):

        def prepare(place: Scratch, kind: str = place_of) -> None:
            (place / "mine").mkdir()
            place.text("out/mine.yaml", DESIGN)
            if kind == "a file":
                place.text("mine/genomes", DESIGN)
            else:
                target = "../out" if kind == "a link out" else "../none"
                (place / "mine/genomes").symlink_to(target)

        yield Case(
            f"folders/a search whose genomes/ is {place_of}",
            tabular("run_dir=mine"),
            either("mine"),
            prepare,
            check=_kept("mine.yaml", DESIGN, "out"),
        )
    yield Case(
        "folders/a search in the user's own folder",
        tabular("run_dir=."),
        either("run_dir"),
        lambda place: [place.text(name, text) for name, text in FOREIGN.items()],
        check=lambda place: next(
            filter(None, (_kept(n, text, ".")(place) for n, text in FOREIGN.items())), ""
        ),
    )


def _seeds() -> Iterator[Case]:
    yield Case(
        "folders/seeds in the run's own genomes/",
        tabular("run_dir=mine", "search.seeds=[mine/genomes]"),
        either("mine"),
        lambda place: place.text("mine/genomes/mine.yaml", DESIGN),
        check=_kept("genomes/mine.yaml", DESIGN),
    )
    yield Case(
        "folders/a design added to a run before it goes on",
        prepared_search("search.generations=5", "run_dir=tabular"),
        done(),
        lambda place: (place.copy("tabular"), place.text("tabular/genomes/mine.yaml", DESIGN)),
        check=_kept("genomes/mine.yaml", DESIGN, "tabular"),
    )
    yield Case(
        "folders/training a genome file of the same folder",
        train("genome=mine/genome.yaml", "depth=null", "run_dir=mine", steps=2),
        refused("mine"),
        lambda place: (place.text("mine/genome.yaml", DESIGN), place.text("mine/log.csv", "mine")),
        check=lambda place: _kept("genome.yaml", DESIGN)(place) or _kept("log.csv", "mine")(place),
    )


def _kinds() -> Iterator[Case]:
    """Folders that hold something else, or are none."""
    for name, words in {
        "a search in a training's folder": tabular("run_dir=training"),
        "a training in a search's folder": train("run_dir=tabular"),
        "another search in a search's folder": tabular("run_dir=tabular", "seed=5"),
        "another training in a training's folder": train("run_dir=training", "seed=5"),
        "another genome in a training's folder": train("genome=mamba", "run_dir=training"),
        "a search in a file": tabular("run_dir=file"),
        "a search below a file": tabular("run_dir=file/run"),
        "a training in a file": train("run_dir=file"),
        "a search in /dev/null": tabular("run_dir=/dev/null"),
        "a search in /proc": tabular("run_dir=/proc/none_such"),
        "a training in /proc": train("run_dir=/proc/none_such"),
        "a search in /dev/full": tabular("run_dir=/dev/full/run"),
        "a search in a link to itself": tabular("run_dir=loop"),
        "describing an id that a run lacks": describe("genome=tabular/none_such"),
        "describing a run": describe("genome=tabular"),
        "the lineage of a file": describe("genome=file", "lineage=true"),
        "the lineage of an id that a run lacks": describe("genome=tabular/x", "lineage=true"),
    }.items():

        def prepare(place: Scratch) -> None:
            place.copy("tabular")
            place.copy("training")
            place.text("file", "x")
            (place / "loop").symlink_to("loop")

        yield Case(f"folders/{name}", words, refused(), prepare)


def _configurations() -> Iterator[Case]:
    for name, content in {
        "of nothing": "",
        "of a list": "- 1\n",
        "of null": "null\n",
        "of a broken int": "seed: !!int abc\n",
        "of an impossible date": "experiment_name: 2024-13-01\n",
        "of 5,000 digits": f"seed: {'1' * 5000}\n",
        "of nested lists": f"seed: {'[' * 900}{']' * 900}\n",
        "of no YAML": "seed: [1\n",
        "that is not UTF-8": "caf\udce9",
        "with a text for a group": "search: text\n",
    }.items():

        def prepare(place: Scratch, text: str = content) -> None:
            path = place.copy("tabular") / "config.yaml"
            path.write_bytes(text.encode(errors="surrogateescape"))

        words = prepared_search("run_dir=tabular")
        yield Case(f"folders/config.yaml {name}", words, refused("tabular"), prepare)
        words = describe("genome=tabular/none_such")
        yield Case(f"folders/describing beside config.yaml {name}", words, refused(), prepare)


def _beside(command: tuple[str, ...]) -> Callable[[Scratch], None]:
    """Another process that works in the folder `run`."""

    def prepare(place: Scratch) -> None:
        place.run_beside(command, until=(place / "run/config.yaml").exists)

    return prepare


def _locks() -> Iterator[Case]:
    for name, command, other in (
        ("the same search", LONG_SEARCH, LONG_SEARCH),
        ("another seed", LONG_SEARCH, (*LONG_SEARCH, "seed=5")),
        ("a training", LONG_SEARCH, train("run_dir=run")),
        ("the same training", LONG_TRAINING, LONG_TRAINING),
        ("a search beside a training", LONG_TRAINING, tabular("run_dir=run")),
    ):
        yield Case(
            f"folders/a folder in use, {name}", other, refused("run"), _beside(command), limit=90
        )

    def killed(place: Scratch) -> None:
        process = place.run_beside(
            tabular("run_dir=run", "search.generations=10000"),
            until=(place / "run/config.yaml").exists,
        )
        process.kill()

    yield Case(
        "folders/the lock of a killed search",
        tabular("run_dir=run", "search.generations=2"),
        done(),
        killed,
    )


def _settled(place: Scratch, folder: str, count: int) -> str:
    for process in place.started:
        process.wait(60)
    found = sorted(path.name for path in (place / folder).iterdir()) if place else []
    return "" if len(found) == count else f"{len(found)} folders for {count} runs: {found}"


def _same_second() -> Iterator[Case]:
    for verb, command, folder in (
        ("searches", tabular("experiment_name=mine"), "runs/mine"),
        ("trainings", train(steps=2), "runs/train"),
    ):

        def prepare(place: Scratch, command: tuple[str, ...] = command) -> None:
            place.started += [place.start((*command, f"seed={seed}")) for seed in (1, 2)]

        yield Case(
            f"folders/three {verb} begun in one second",
            command,
            done(),
            prepare,
            check=lambda place, folder=folder: _settled(place, folder, 3),
        )

    def own_commands(place: Scratch) -> str:
        texts = [path.read_text() for path in (place / "runs/mine").glob("*/command.txt")]
        if len(texts) != 2:
            return f"{len(texts)} command.txt of two runs"
        return "a command.txt holds the sweep" if any("0,1" in text for text in texts) else ""

    yield Case(
        "folders/a sweep of quick searches",
        tabular("-m", "seed=0,1", "experiment_name=mine"),
        done(),
        check=own_commands,
    )
    yield Case(
        "folders/a sweep into one folder",
        tabular("-m", "seed=0,1", "run_dir=run"),
        refused("run_dir"),
    )
    yield Case(
        "folders/a sweep into folders of its own",
        tabular("-m", "seed=0,1", "run_dir=run_${seed}"),
        done(),
        check=lambda place: "" if (place / "run_1/pareto.csv").exists() else "no run_1",
    )


def _resumes() -> Iterator[Case]:
    constant = ("training.schedule=constant", "run_dir=run")

    def untouched(place: Scratch) -> str:
        kept = "steps: 6" in (place / "run/config.yaml").read_text()
        return "" if kept else "config.yaml holds other steps than the weights"

    yield Case(
        "folders/a training with fewer steps than it has",
        train(*constant, steps=6),
        done(),
        again=Case("", train(*constant, steps=3), refused("steps"), check=untouched),
    )
    yield Case(
        "folders/a training with more steps",
        train(*constant, steps=6),
        done(),
        again=Case("", train(*constant, steps=8), done("going on after step 6")),
    )

    def repeats(place: Scratch) -> str:
        text = (place / "tabular/command.txt").read_text()
        return "" if "run_dir=tabular" in text else f"command.txt drops run_dir: {text!r}"

    yield Case(
        "folders/command.txt behind a resume",
        prepared_search("run_dir=tabular"),
        done(),
        lambda place: place.copy("tabular"),
        check=repeats,
    )


def _when(name: str, act: Callable[[Path], object]) -> Callable[[Scratch, Process], bool]:
    """Do something to the run's folder once a file is in it."""

    def meanwhile(place: Scratch, process: Process) -> bool:
        if not (place / "run" / name).exists():
            return False
        time.sleep(0.3)
        act(place / "run")
        return True

    return meanwhile


def _delete(folder: Path) -> None:
    """Delete a folder in which a process writes, at one instant."""
    gone = folder.with_name(f"{folder.name}_gone")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _disturbed() -> Iterator[Case]:
    def without_ledger(folder: Path) -> None:
        for path in folder.glob("ledger.sqlite*"):
            path.unlink()

    for name, act in {
        "the ledger": without_ledger,
        "the folder": _delete,
        "the configuration": lambda folder: (folder / "config.yaml").unlink(),
        "genomes/": lambda folder: _delete(folder / "genomes"),
    }.items():
        certain = name in ("the ledger", "the folder")
        expected = failed("run") if certain else Expected((0, 1, 2))
        yield Case(
            f"folders/{name} deleted while a search runs",
            smoke("run_dir=run"),
            expected,
            meanwhile=_when("population.csv", act),
            limit=120,
        )
    yield Case(
        "folders/the folder deleted while a training runs",
        train("run_dir=run", steps=300),
        failed("run"),
        meanwhile=_when("log.csv", _delete),
        limit=120,
    )
    yield Case(
        "folders/the folder replaced by another while a search runs",
        smoke("run_dir=run"),
        Expected((0, 1, 2)),
        meanwhile=_when("population.csv", lambda folder: os.rename(folder, f"{folder}_moved")),
        limit=120,
    )


def _leftovers() -> Iterator[Case]:
    """Half-written files of processes that are dead."""

    def prepare(place: Scratch) -> None:
        for name in ("population.csv", "environment.json", "genomes/x.yaml"):
            path = Path(name)
            place.text(f"tabular/{path.parent}/.{path.name}.999999", "half")

    def gone(place: Scratch) -> str:
        left = [path.name for path in (place / "tabular").rglob(".*.999999")]
        return f"leftovers of a dead process stay: {left}" if left else ""

    yield Case(
        "folders/half-written files of a dead process",
        prepared_search("run_dir=tabular"),
        done(),
        lambda place: (place.copy("tabular"), prepare(place)),
        check=gone,
    )


def _signals() -> Iterator[Case]:
    for name, number, code in (("Ctrl-C", signal.SIGINT, 130), ("SIGTERM", signal.SIGTERM, 143)):
        again = Case("", smoke("run_dir=run"), done(), limit=120)

        def meanwhile(place: Scratch, process: Process, number: int = number) -> bool:
            if not (place / "run/population.csv").exists():
                return False
            process.send(number)
            return True

        yield Case(
            f"folders/{name} while a search trains, and again",
            smoke("run_dir=run"),
            Expected((code,)),
            meanwhile=meanwhile,
            again=again,
            limit=120,
        )


CASES = (
    *_foreign(),
    *_seeds(),
    *_kinds(),
    *_configurations(),
    *_locks(),
    *_same_second(),
    *_resumes(),
    *_disturbed(),
    *_leftovers(),
    *_signals(),
)
