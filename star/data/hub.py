"""Data sets of the Hugging Face hub, streamed row by row with their library `datasets`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from star.base.errors import UserError, plain, shown
from star.base.imports import import_optional
from star.base.reading import expanded, is_file, is_folder
from star.base.settings import expect_one_of
from star.data.config import USUAL_SPLIT, DataConfig
from star.data.tables import column_text

SAVED = ("state.json", "dataset_dict.json")  # of a folder that `save_to_disk` left
LONGEST = 120  # characters of what the library says


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Raise `UserError` for whatever the library raises: of a network, of files, of names."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = shown(plain(f"{type(error).__name__}: {error}"), LONGEST)
        hint = (
            "HF_HUB_OFFLINE is set, and it is not on this machine"
            if not os.path.exists(name)
            and os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
            else "expected a data set of the hub, with the network there, or its folder"
        )
        raise UserError(f"data.name={name}: cannot be streamed ({said}); {hint}") from None


class HubRows:
    """The texts of a data set, from its beginning or from where an earlier stream was."""

    def __init__(self, config: DataConfig) -> None:
        """Open it. Raises `UserError` where it cannot be reached, or has no such split."""
        self._name, self._column = str(config.name), config.column
        library = import_optional("data=hub", "datasets")
        library.disable_progress_bars()
        library.logging.set_verbosity_error()
        import_optional("data=hub", "huggingface_hub").logging.set_verbosity_error()  # every try
        with _one_line(self._name):
            self._rows = _open(library, config)

    def texts(self, position: Any = None) -> Iterator[str]:
        """The texts behind a position (`position`), one after the other.

        Raises `UserError` where the network ends, or the column is missing.
        """
        with _one_line(self._name):
            if position is not None:
                self._rows.load_state_dict(position)
            for row in self._rows:
                yield column_text(row, self._column, f"data.name={self._name}")

    def position(self) -> Any:
        """Where the stream is behind the text that it gave last: numbers by name."""
        return self._rows.state_dict()


def _open(library: Any, config: DataConfig) -> Any:
    """The rows of a split as an iterable data set."""
    split = config.split or USUAL_SPLIT
    folder = expanded(str(config.name))
    if is_folder(folder) and any(is_file(folder / name) for name in SAVED):
        saved = library.load_from_disk(str(folder))
        if not isinstance(saved, dict):  # a single split, which may not say which
            own = str(saved.split or split)
            saved, split = {own: saved}, config.split or own
        expect_one_of("data.split", split, tuple(saved))
        return saved[split].to_iterable_dataset()
    name = str(folder) if is_folder(folder) else str(config.name)
    return library.load_dataset(name, config.subset, split=split, streaming=True)
