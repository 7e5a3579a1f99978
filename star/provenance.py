"""What a run was: resolved configuration, versions and hardware, and the command that repeats it."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from star import __version__, atomic

CONFIGURATION, ENVIRONMENT, COMMAND = "config.yaml", "environment.json", "command.txt"
PACKAGES = ("torch", "triton", "numpy", "pandas", "pymoo", "hydra-core", "omegaconf")


def write_provenance(
    folder: Path, verb: str, configuration: Mapping[str, Any], fingerprint: str, arguments: Sequence[str]
) -> None:
    """Write `config.yaml` (resolved), `environment.json` with the data's fingerprint, and `command.txt`.

    arguments: the command line after `python -m star.<verb>`; `run_dir` is left out of the command that repeats it.
    """
    atomic.write_text(folder / CONFIGURATION, yaml.safe_dump(dict(configuration), sort_keys=False))
    environment = {**describe_environment(), "data_fingerprint": fingerprint}
    atomic.write_text(folder / ENVIRONMENT, json.dumps(environment, indent=2) + "\n")
    repeated = [argument for argument in arguments if not argument.startswith("run_dir=")]
    atomic.write_text(folder / COMMAND, shlex.join(["python", "-m", f"star.{verb}", *repeated]) + "\n")


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the checkout that the package runs from, when it is one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
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
