"""Where the output goes: encodings, closed pipes, narrow terminals; help; signals at the start."""

import signal
from collections.abc import Callable, Iterator, Mapping

from launch import Process

from cases.case import (
    Case,
    Expected,
    Scratch,
    describe,
    done,
    generate,
    refused,
    smoke,
    tabular,
    train,
)

PROMPT = "prompt=été 日本 🜂 →"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "describe": describe("genome=mine.yaml"),
    "evolve": tabular("run_dir=été"),
    "generate": generate("checkpoint=training", PROMPT),
    "train": train("run_dir=日本", steps=2),
}
ENCODINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "ascii": (("PYTHONIOENCODING", "ascii"),),
    "cp1252": (("PYTHONIOENCODING", "cp1252"),),
    "latin-1, strict": (("PYTHONIOENCODING", "latin-1:strict"),),
    "the C locale": (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")),
}
TERMINALS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "one column": (("COLUMNS", "1"),),
    "no column": (("COLUMNS", "0"),),
    "columns that are a text": (("COLUMNS", "many"),),
    "a dumb terminal": (("TERM", "dumb"),),
    "no colour": (("NO_COLOR", "1"),),
    "forced colour": (("FORCE_COLOR", "1"),),
}
# A closed pipe ends a command quietly, as the system's own tools do, or without notice.
QUIET = Expected((0, 141, -signal.SIGPIPE))


def _prepare(place: Scratch) -> None:
    place.text("mine.yaml", 'schema: 1\nname: été 日本\ngenome: "11111-91111"\n')
    place.copy("training")


def _outputs() -> Iterator[Case]:
    for encoding, environment in ENCODINGS.items():
        for verb, command in COMMANDS.items():
            # Python itself reads no name that is not ASCII there; it says how to have it read.
            unread = encoding == "the C locale" and verb in ("evolve", "train")
            yield Case(
                f"output/{verb} in {encoding}",
                command,
                refused("PYTHONUTF8") if unread else done(),
                _prepare,
                environment=environment,
                real=True,
            )
    for terminal, environment in TERMINALS.items():
        for verb, command in COMMANDS.items():
            yield Case(
                f"output/{verb} on {terminal}", command, done(), _prepare, environment=environment
            )
    others = {
        "help": ("evolve", "--help"),
        "settings": ("evolve", "--cfg", "job"),
        "JSON": describe("genome=lfm2", "format=json"),
        "many tokens": ("generate", "checkpoint=training", "tokens=2000"),
    }
    for name, command in {**COMMANDS, **others}.items():
        for real in (False, True):
            yield Case(
                f"output/{name} into a closed pipe{', a new Python' if real else ''}",
                command,
                QUIET,
                _prepare,
                output="closed",
                real=real,
            )


def _help() -> Iterator[Case]:
    for verb in ("evolve", "train", "describe", "generate"):
        foreign = () if verb == "evolve" else ("+experiment=", "search=")
        yield Case(f"output/{verb} --help", (verb, "--help"), done("settings", silent=foreign))
        yield Case(f"output/{verb} --version", (verb, "--version"), done("star"))
        yield Case(f"output/{verb} --cfg job", (verb, "--cfg", "job"), done())
        words = (verb, "--cfg", "job", "--resolve")
        yield Case(f"output/{verb} --cfg job --resolve", words, Expected((0, 2)))
    yield Case(
        "output/an experiment of one's own with --cfg job",
        ("evolve", "--config-dir", "own", "+experiment=mine", "--cfg", "job"),
        done("population: 3"),
        lambda place: place.text(
            "own/experiment/mine.yaml", "# @package _global_\nsearch:\n  population: 3\n"
        ),
    )
    for option in ("--cfg=none_such", "--multirunn", "--info", "-x"):
        words = tabular("run_dir=run", option)
        yield Case(f"output/{option}", words, refused())
    yield Case("output/train without a genome", ("train",), refused("genome"))
    yield Case("output/generate without a checkpoint", ("generate",), refused("checkpoint"))


def _after(seconds: float, number: int) -> Callable[[Scratch, Process], bool]:
    def meanwhile(place: Scratch, process: Process) -> bool:
        if process.age < seconds:
            return False
        process.send(number)
        return True

    return meanwhile


def _signals() -> Iterator[Case]:
    commands = {
        "evolve": smoke("run_dir=run", "training.steps=100000"),
        "train": train("run_dir=run", steps=10**6),
        "generate": ("generate", "checkpoint=training", "tokens=100000000"),
    }
    for name, number, code in (("Ctrl-C", signal.SIGINT, 130), ("SIGTERM", signal.SIGTERM, 143)):
        for verb, command in commands.items():
            for seconds in (0.3, 1.0, 2.5, 8.0):
                yield Case(
                    f"output/{name} after {seconds} s of {verb}",
                    command,
                    Expected((code,) if number == signal.SIGINT else (code, -signal.SIGTERM)),
                    _prepare,
                    meanwhile=_after(seconds, number),
                    real=True,
                    limit=60,
                )


CASES = (*_outputs(), *_help(), *_signals())
