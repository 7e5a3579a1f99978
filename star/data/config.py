"""Settings of the data."""

from dataclasses import dataclass

KINDS = ("stdlib", "files")


@dataclass
class DataConfig:
    """Where the text comes from.

    kind: `stdlib` (sources of the running Python's standard library) or `files`. path: a folder,
    file or glob for `files`. suffixes: which files of a folder are read; empty reads all. held_out:
    share of files kept for validation.
    """

    kind: str = "stdlib"
    path: str | None = None
    suffixes: list[str] | None = None
    held_out: float = 0.05
