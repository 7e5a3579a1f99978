"""What a run was: resolved configuration, versions and hardware, and the command that repeats
it."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from star import __version__
from star.base import atomic
from star.base.errors import UserError

CONFIGURATION, ENVIRONMENT, COMMAND = "config.yaml", "environment.json", "command.txt"
PACKAGES = ("torch", "triton", "numba", "numpy", "pandas", "pymoo", "hydra-core", "omegaconf")


def run_path(run_dir: str | None, kind: str) -> Path:
    """The run folder: `run_dir`, or `runs/<kind>/<date_time>`."""
    if run_dir:
        return Path(run_dir)
    return Path("runs") / kind / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise `UserError` for what the system does not let this process write in a run folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"run_dir={folder}: cannot be written ({error.strerror}); choose a folder you may "
            f"write to"
        ) from None


def write_provenance(
    folder: Path,
    verb: str,
    configuration: Mapping[str, Any],
    fingerprint: str,
    arguments: Sequence[str],
) -> None:
    """Write `config.yaml` (resolved) first, `environment.json` with the data's fingerprint, and
    `command.txt`.

    arguments: the command line after `python -m star.<verb>`; `run_dir` is left out of the command
    that repeats it. Raises `UserError` where the folder cannot be written.
    """
    environment = {**describe_environment(), "data_fingerprint": fingerprint}
    repeated = [argument for argument in arguments if not argument.startswith("run_dir=")]
    with writing(folder):
        atomic.write_text(
            folder / CONFIGURATION, yaml.safe_dump(dict(configuration), sort_keys=False)
        )
        atomic.write_text(folder / ENVIRONMENT, json.dumps(environment, indent=2) + "\n")
        atomic.write_text(
            folder / COMMAND, shlex.join(["python", "-m", f"star.{verb}", *repeated]) + "\n"
        )


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], free: Set[str], prefix: str = ""
) -> Iterator[str]:
    """Each setting that differs, as `key is <old> there, <new> here`."""
    for key in dict.fromkeys((*there, *here)):
        old, new = there.get(key), here.get(key)
        if prefix + key in free or old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, free, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} is {old} there, {new} here"


def check_same_run(folder: Path, what: str, settings: Mapping[str, Any], free: Set[str]) -> None:
    """Raise `UserError` unless the folder's `config.yaml` holds these settings, but for the keys in
    `free`.

    what: `a training` or `a search`; a folder whose configuration has other keys holds something
    else.
    """
    path = folder / CONFIGURATION
    try:
        there = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(there, dict) or not settings.keys() <= there.keys():
        raise UserError(
            f"run_dir={folder}: already holds something else than {what}; choose another folder"
        )
    different = list(differences(there, settings, free))
    if different:
        raise UserError(
            f"run_dir={folder}: holds {what} with other settings ({'; '.join(different)}); "
            "choose another folder, or the same settings to go on"
        )


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
