"""Which files an operation runs: its primitive's package and all that this imports within kernels.

They are found in the text of the modules, whether imported at the top or inside a function, so
that nothing is imported to ask. What is not reached from there, as cases and the harness, does not
count.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[1]
PACKAGE = ("star", "kernels")  # the name under which KERNELS is imported

# Folders of the operations that have not one of their own name.
FOLDERS = {
    "banded_softmax_attention": "structured_attention",
    "differential_attention": "structured_attention",
    "pairwise_attention": "structured_attention",
    "short_conv": "gated_short_conv",
}


def source_digest(operation: str, root: Path = KERNELS) -> str:
    """A digest of every file that the operation runs, by its place below `root` and its text.

    Raises KeyError for an operation whose package does not exist.
    """
    digest = hashlib.sha256()
    for path in sorted(sources(operation, root)):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def sources(operation: str, root: Path = KERNELS) -> set[Path]:
    """The files that the operation runs. Raises KeyError as `source_digest` does."""
    first = _file((FOLDERS.get(operation, operation),), root)
    if first is None:
        raise KeyError(operation)
    found, waiting = {first}, [first]
    while waiting:
        fresh = set(_imported(waiting.pop(), root)) - found
        found |= fresh
        waiting += fresh
    return found


def _imported(path: Path, root: Path) -> Iterator[Path]:
    """Files of kernels that a module imports, and the packages that these lie in."""
    for name in _names(path.read_text(encoding="utf-8"), path.relative_to(root).parts[:-1]):
        for length in range(1, len(name) + 1):
            file = _file(name[:length], root)
            if file is not None:
                yield file


@functools.lru_cache(maxsize=256)
def _names(text: str, package: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Dotted names that a module of a package imports, by their parts below kernels.

    `from ..dtypes import wide` in package ("ssd",) gives ("dtypes", "wide"), of which the second
    may be a module or a name in the first.
    """
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            inside = (*PACKAGE, *package)[: len(PACKAGE) + len(package) + 1 - node.level]
            start = inside + module if node.level else module
            names |= {(*start, alias.name) for alias in node.names}
    depth = len(PACKAGE)
    return frozenset(name[depth:] for name in names if name[:depth] == PACKAGE)


def _file(name: tuple[str, ...], root: Path) -> Path | None:
    """The file of a module or package; None if there is none."""
    place = root.joinpath(*name)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None
