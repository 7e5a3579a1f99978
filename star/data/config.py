"""Settings of the data."""

from dataclasses import dataclass

from star.base.settings import expect


@dataclass
class DataConfig:
    """Where the text comes from."""

    kind: str = "stdlib"  # sources of Python's standard library; files; or module:function of yours
    path: str | None = None  # a folder, file or glob, for files
    suffixes: list[str] | None = None  # which files of a folder are read; null reads all
    held_out: float = 0.05  # share of the files that is kept for validation

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        fits = 0 < self.held_out < 1
        expect("data.held_out", self.held_out, fits, "a share between 0 and 1")
