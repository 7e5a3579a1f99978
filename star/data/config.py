"""Settings of the data."""

from dataclasses import dataclass


@dataclass
class DataConfig:
    """Where the text comes from."""

    kind: str = "stdlib"  # sources of Python's standard library; files; or module:function of yours
    path: str | None = None  # a folder, file or glob, for files
    suffixes: list[str] | None = None  # which files of a folder are read; null reads all
    held_out: float = 0.05  # share of the files that is kept for validation
