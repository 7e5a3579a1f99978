"""What a run was: resolved configuration, versions and hardware, and the command that repeats
it."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from star import __version__
from star.base import files
from star.base.errors import UserError, shown
from star.base.files import writing
from star.base.reading import is_file, read_text
from star.base.safe_yaml import read_yaml
from star.base.settings import differences

CONFIGURATION, ENVIRONMENT, COMMAND = "config.yaml", "environment.json", "command.txt"
FROM_PYTHON = "# continued from Python, with the settings in config.yaml"  # a line of COMMAND
# What readers of a configuration rely on; other values are only compared.
SHAPES: dict[str, type] = {
    **dict.fromkeys(("search", "model", "cache", "training", "data", "limits", "executor"), dict),
    **dict.fromkeys(
        ("evaluation", "objectives", "constraints", "search.space", "search.variation"), dict
    ),
    **dict.fromkeys(("search.algorithm", "search.stop", "search.halving", "evaluation"), dict),
    **dict.fromkeys(("search.objectives", "search.also_measure"), list),
    **dict.fromkeys(("search.space.alphabet", "search.alphabet"), str),
    "search.algorithm._target_": str,
}
PACKAGES = ("torch", "triton", "numba", "numpy", "pandas", "pymoo", "hydra-core", "omegaconf")


class OtherConfiguration(UserError):
    """A configuration that no run of this program wrote."""


def new_folder(kind: str) -> Path:
    """A fresh `runs/<kind>/<date_time>`: two runs that begin in one second get one each.

    Raises `UserError` where it cannot be made.
    """
    parent = Path("runs") / kind
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    with writing(parent / stamp):
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = parent / (stamp if number == 1 else f"{stamp}_{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    raise AssertionError("unreachable")


def write_provenance(
    folder: Path,
    verb: str,
    configuration: Mapping[str, Any],
    fingerprint: str,
    arguments: Sequence[str] | None,
) -> None:
    """Write `config.yaml` (resolved) first, `environment.json`, and `command.txt`.

    In a folder that has them, the new settings take the place of those before; the environments of
    before are kept in the new one, under `earlier`, and a command is added behind those before.

    Args:
        folder: of the run.
        verb: of the command.
        configuration: the settings.
        fingerprint: of the data.
        arguments: the command line after `python -m star.<verb>`. None where a run was started from
            Python.

    Raises:
        UserError: where the folder cannot be written.
    """
    with writing(folder):
        text = yaml.safe_dump(dict(configuration), sort_keys=False)
        files.write_text(folder / CONFIGURATION, text)
        _write_environment(folder / ENVIRONMENT, fingerprint)
        _add_command(folder, verb, arguments)


def _write_environment(path: Path, fingerprint: str) -> None:
    now = {**describe_environment(), "data_fingerprint": fingerprint}
    earlier: list[Any] = []
    # None, or a damaged one, is as good as none.
    with suppress(FileNotFoundError, ValueError, AttributeError, TypeError, RecursionError):
        before = json.loads(path.read_bytes())
        earlier = [*before.pop("earlier", [])]
        if before != now and before not in earlier:
            earlier.append(before)
    content = {**now, **({"earlier": earlier} if earlier else {})}
    files.write_text(path, json.dumps(content, indent=2) + "\n")


def _add_command(folder: Path, verb: str, arguments: Sequence[str] | None) -> None:
    """Add a line to `command.txt`, unless it is the last one already.

    It names the folder, so that it goes on there, or repeats the run in a place that has none.
    """
    path = folder / COMMAND
    there = path.read_bytes() if path.exists() else b""
    if arguments is not None:
        keys = ("run_dir=", "run=")
        has_folder = any(part.lstrip("+").startswith(keys) for part in arguments)
        own = [] if has_folder else [f"run_dir={folder}"]
        line = shlex.join(["python", "-m", f"star.{verb}", *arguments, *own])
    elif there:
        line = FROM_PYTHON
    else:
        return
    added = f"{line}\n".encode("utf-8", "surrogateescape")  # names of files that are not UTF-8
    if not there.endswith(added):
        files.write_bytes(path, there + added)


def read_command(folder: Path) -> str:
    """The last command in `command.txt`; empty where there is none."""
    path = folder / COMMAND
    text = read_text(path, "surrogateescape") if is_file(path) else ""
    *_, last = f"\n{text}".replace(f"\n{FROM_PYTHON}", "").split("\npython -m star.")
    return f"python -m star.{last}".strip() if last.strip() else ""


def check_same_run(
    folder: Path,
    what: str,
    settings: Mapping[str, Any],
    free: Set[str],
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> None:
    """Raise `UserError` unless a folder's `config.yaml` holds these settings.

    Args:
        folder: of the run.
        what: `a training` or `a search`; a folder with other keys holds something else.
        settings: those of now, as nested mappings.
        free: dotted keys that may differ.
        upgrade: brings settings that an earlier version wrote to the keys of now.
    """
    there = read_upgraded(folder, upgrade)
    if not settings.keys() <= there.keys():
        raise UserError(
            f"run_dir={folder}: already holds something else than {what}; choose another folder"
        )
    different = list(differences(there, settings, free))
    if different:
        raise UserError(
            f"run_dir={folder}: holds {what} with other settings ({'; '.join(different)}); "
            "choose another folder, or the same settings to go on"
        )


def read_upgraded(
    folder: Path, upgrade: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """The settings in a run folder with the keys of now, and none where the configuration is of
    something else. Raises `UserError` when it cannot be read."""
    try:
        return upgrade(read_configuration(folder))
    except OtherConfiguration:
        return {}


def read_configuration(folder: Path) -> dict[str, Any]:
    """The settings in a run folder; those of `SHAPES` are missing or as they are there.

    Raises `UserError` when they cannot be read, `OtherConfiguration` when one has another shape.
    """
    path = folder / CONFIGURATION
    content = read_yaml(path)
    settings = content if isinstance(content, dict) else {}
    for key, expected in SHAPES.items():
        *sections, name = key.split(".")
        holder: Any = settings
        for section in sections:
            holder = holder.get(section, {})
        if name not in holder:
            continue
        value = holder[name]
        if not isinstance(value, expected):
            found = shown(repr(value), 60)
            message = f"{path}: key {key!r} is {found}, expected {expected.__name__}"
            raise OtherConfiguration(message)
        if isinstance(value, list) and not all(isinstance(name, str) for name in value):
            message = f"{path}: key {key!r} is {shown(repr(value), 60)}, expected names"
            raise OtherConfiguration(message)
    return settings


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the checkout that the package runs from, when it is one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def describe_environment() -> dict[str, Any]:
    """Versions and hardware, as far as they can change a result."""
    import torch

    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "star": __version__,
        "git_commit": _git_commit(),
        "python": sys.version.split()[0],
        "packages": {name: _package_version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpus": gpus,
    }
