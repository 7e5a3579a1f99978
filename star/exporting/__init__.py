"""Exporting and adopting: a checkpoint as a folder of Hugging Face transformers, and the way back.

`folder` writes theirs, `source` reads them, `tokenizer` makes the tokenizer of bytes, `companions`
are the files beside the weights; the models of theirs are in `star.models.hugging_face`. Needs
transformers, which is imported where it is used.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from star.base.errors import UserError
from star.base.files import temporary_folder, writing
from star.base.reading import expanded

AUTO, NATIVE, OURS = FORMATS = ("auto", "native", "star")
TOLERANCE = 1e-4  # of logits, in float32, as a share of the largest one


def refuse_existing(to: str) -> None:
    """Raise `UserError` for a new folder `to=` that is there."""
    if os.path.lexists(expanded(to)):
        raise UserError(f"to={to}: exists already; choose another folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside a new one whose place it takes at the end; nothing is left of it
    where an error is raised.

    Raises `UserError` where it cannot be made.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = temporary_folder(folder.parent, f".{folder.name}")
    try:
        yield unfinished
        with writing(folder):
            unfinished.chmod(0o755)
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
