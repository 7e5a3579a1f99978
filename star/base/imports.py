"""Things named by import path, such as `my_package.objectives:Depth`, and modules of users."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from star.base.errors import UserError, plain


def is_import_path(reference: str) -> bool:
    """Whether a name has the form `module:name`."""
    return ":" in reference


def import_object(key: str, reference: str) -> Any:
    """What `module:name` names. Raises `UserError` naming the key when it cannot be imported."""
    module, _, name = reference.partition(":")
    found = import_module(key, module)
    if not hasattr(found, name):
        raise UserError(f"{key}={reference}: {found.__name__} has no {name!r}")
    return getattr(found, name)


def import_module(key: str, reference: str) -> ModuleType:
    """A module by its dotted name or by the path of its `.py` file, imported once.

    Raises `UserError` naming the key, the module and why it cannot be imported.
    """
    try:
        if reference.endswith(".py"):
            return _import_file(Path(reference).expanduser().resolve())
        return importlib.import_module(reference)
    except Exception as error:  # whatever a user's module raises
        reason = plain(f"{type(error).__name__}: {error}")
        hint = "; expected a module that Python finds, or the path of a .py file"
        is_missing = isinstance(error, ModuleNotFoundError | FileNotFoundError)
        raise UserError(
            f"{key}={reference}: cannot be imported ({reason}{_line_of(error)})"
            f"{hint if is_missing else ''}"
        ) from error


def _line_of(error: BaseException) -> str:
    """Where in a user's file an error was raised, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename]
    last = own[-1] if len(own) > 2 else None  # the first two are this module's
    return f", {Path(last.filename).name} line {last.lineno}" if last else ""


def is_installed(package: str) -> bool:
    """Whether a package is there, without importing it. package: as pip calls it."""
    return find_spec(package.replace("-", "_")) is not None


def expect_installed(where: str, package: str) -> None:
    """Raise `UserError` unless a package is there. where: the setting or command that needs it."""
    if not is_installed(package):
        raise UserError(f"{where}: {package} is not installed; pip install {package}")


def import_optional(key: str, package: str) -> Any:
    """A package that only some settings need. Raises `UserError` naming the setting where it is
    not installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:  # of the package, or of one that it needs
        missing = (error.name or package).partition(".")[0]
        raise UserError(f"{key}: {missing} is not installed; pip install {missing}") from None


def import_plugins(references: Iterable[str]) -> None:
    """Import the modules of `plugins=[...]`, which register operators when they are imported."""
    for reference in references:
        import_module("plugins", reference)


def _import_file(path: Path) -> ModuleType:
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if known is not None:
        raise ImportError(f"a module named {name!r} is there already; give the file another name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that what it defines can be sent to worker processes
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
