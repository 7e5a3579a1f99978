"""What is prepared once and copied by the cases: texts, trainings, searches.

texts/       twelve small text files
training/    a finished training, with its state
attention/   another, of a genome whose weights fit a second genome too
tabular/     a search from the table, of three generations
smoke/       a search that trained, with one worker
"""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from cases.case import prepared_search, smoke, train

TABULAR = prepared_search()
COMMANDS = {
    "training": train("run_dir=training"),
    "attention": train("genome=11111-91111", "depth=null", "run_dir=attention", steps=2),
    "tabular": (*TABULAR, "run_dir=tabular"),
    "smoke": smoke("run_dir=smoke"),
}
_WORDS = ("the", "search", "trains", "a", "genome", "and", "keeps", "small", "designs")


def write_texts(folder: Path, files: int = 12, words: int = 400) -> None:
    """Text files of the same content whenever they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = random.Random(0)
    for number in range(files):
        text = " ".join(drawn.choice(_WORDS) for _ in range(words))
        (folder / f"text_{number:02}.txt").write_text(text + "\n")


def prepare(shared: Path, commit: str, run: Callable[[Sequence[str], Path], None]) -> None:
    """Make the folder, unless this commit made it; `run` runs a command in a folder or raises."""
    whole = shared / ".commit"
    if whole.exists() and whole.read_text() == commit:
        return
    shutil.rmtree(shared, ignore_errors=True)
    write_texts(shared / "texts")
    for name, command in COMMANDS.items():
        print(f"preparing {name}", flush=True)
        run(command, shared)
    whole.write_text(commit)
