"""Which text files make up a corpus, in which order, and which of them are held out."""

import glob
import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from star.base.errors import UserError
from star.data.config import KINDS, DataConfig

THIRD_PARTY = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class TextFile:
    """A file of the corpus: its path on disk and its name within the corpus (relative, with
    slashes)."""

    path: Path
    name: str


def _standard_library(config: DataConfig) -> list[TextFile]:
    if config.path is not None:
        raise UserError(
            f"data.path={config.path}: the data is the standard library; add data=files to read "
            f"your own"
        )
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = (
        path for path in root.rglob("*.py") if not THIRD_PARTY & set(path.relative_to(root).parts)
    )
    return [TextFile(path, path.relative_to(root).as_posix()) for path in paths if path.is_file()]


def _given_files(config: DataConfig) -> list[TextFile]:
    if not config.path:
        raise UserError("data.path is not set: data=files expects data.path=<folder, file or glob>")
    root = Path(config.path).expanduser()
    if root.is_dir():
        paths = [path for path in root.rglob("*") if path.is_file()]
    else:
        paths = [
            Path(path) for path in glob.glob(str(root), recursive=True) if Path(path).is_file()
        ]
        if not paths and not glob.has_magic(str(root)):
            raise UserError(
                f"data.path={config.path}: no such file or folder; expected a folder, file or glob "
                f"of text"
            )
        root = Path(glob.escape(str(root))).parent if not glob.has_magic(str(root)) else Path(".")
    suffixes = set(config.suffixes or [])
    return [
        TextFile(
            path,
            path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix(),
        )
        for path in paths
        if not suffixes or path.suffix in suffixes
    ]


_SOURCES = {"stdlib": _standard_library, "files": _given_files}


def list_files(config: DataConfig) -> list[TextFile]:
    """Every file of the corpus, sorted by name. Raises `UserError` when there is none, or for bad
    settings."""
    if config.kind not in KINDS:
        raise UserError(f"data.kind={config.kind!r}: expected one of {', '.join(KINDS)}")
    if not 0 < config.held_out < 1:
        raise UserError(f"data.held_out={config.held_out}: expected a share between 0 and 1")
    files = sorted(_SOURCES[config.kind](config), key=lambda file: file.name)
    if not files:
        wanted = f" with suffix {', '.join(config.suffixes)}" if config.suffixes else ""
        raise UserError(
            f"data.path={config.path}: no file{wanted} found there; expected text files"
        )
    return files


def _draw(file: TextFile) -> float:
    """A number in [0, 1) from the file's name alone, so that adding files moves no other file."""
    return int.from_bytes(hashlib.sha256(file.name.encode()).digest()[:8], "big") / 2**64


def split(files: list[TextFile], held_out: float) -> tuple[list[TextFile], list[TextFile]]:
    """Training and held-out files. At least one file goes to each side; raises `UserError` for a
    single file."""
    if len(files) < 2:
        raise UserError(
            f"data.path holds one file ({files[0].path}): expected at least two, since whole files "
            f"are held out; "
            "split it into several"
        )
    ordered = sorted(files, key=_draw)
    count = min(max(1, sum(_draw(file) < held_out for file in files)), len(files) - 1)
    held = set(ordered[:count])
    return [file for file in files if file not in held], [file for file in files if file in held]
