"""The run folder: CSVs, genomes of the front, configuration, environment and the command that repeats the run.

Whole files are written to a temporary name and moved into place; `population.csv` also grows by a line whenever a
candidate finishes. A folder that already holds a run is never written to.
"""

import csv
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from star import __version__
from star.errors import UserError
from star.genomes import GenomeFile, write_genome_file
from star.search.archive import Archive
from star.search.candidates import COLUMNS, Evaluated

POPULATION, PARETO = "population.csv", "pareto.csv"
PACKAGES = ("torch", "triton", "numpy", "pandas", "pymoo", "hydra-core", "omegaconf")


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        """Create the folder. Raises `UserError` when it cannot be written or already holds a run."""
        self.path = path
        if (path / POPULATION).exists():
            raise UserError(f"run_dir={path}: already holds a run ({POPULATION}); choose another folder")
        try:
            (path / "genomes").mkdir(parents=True, exist_ok=True)
            self._write_rows(path / POPULATION, [])
        except OSError as error:
            raise UserError(
                f"run_dir={path}: cannot be written ({error.strerror}); choose a folder you may write to"
            ) from None

    def _write_rows(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        write_atomically(path, pd.DataFrame(list(rows), columns=list(COLUMNS)).to_csv(index=False))

    def append(self, evaluated: Evaluated) -> None:
        """Add one finished candidate to `population.csv`; its rank follows at the generation's end."""
        with (self.path / POPULATION).open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerow(evaluated.row())

    def write_views(self, archive: Archive) -> None:
        """Rewrite both CSVs with ranks over the whole run, and the genome files of the front."""
        ranks, front = archive.ranks(), archive.front()
        rows = [evaluated.row(ranks.get(evaluated.genome_id)) for evaluated in archive.all]
        self._write_rows(self.path / POPULATION, rows)
        self._write_rows(self.path / PARETO, [evaluated.row(0) for evaluated in front])
        wanted = {f"{evaluated.genome_id}.yaml": evaluated for evaluated in front}
        for name, evaluated in wanted.items():
            if not (self.path / "genomes" / name).exists():
                self._write_genome(self.path / "genomes" / name, evaluated)
        for path in (self.path / "genomes").glob("*.yaml"):
            if path.name not in wanted:
                path.unlink()

    def _write_genome(self, path: Path, evaluated: Evaluated) -> None:
        temporary = path.with_suffix(".partial")
        content = GenomeFile(
            name=evaluated.genome_id,
            genome=evaluated.candidate.genome,
            notes=f"{evaluated.candidate.origin} of generation {evaluated.candidate.generation}",
            metrics=dict(evaluated.evaluation.metrics),
            parents=list(evaluated.candidate.parents),
        )
        write_genome_file(temporary, content)
        os.replace(temporary, path)

    def write_provenance(self, configuration: Mapping[str, Any], fingerprint: str, arguments: list[str]) -> None:
        """Write `config.yaml` (resolved), `environment.json` and `command.txt`."""
        write_atomically(self.path / "config.yaml", yaml.safe_dump(dict(configuration), sort_keys=False))
        environment = {**describe_environment(), "data_fingerprint": fingerprint}
        write_atomically(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")
        repeated = [argument for argument in arguments if not argument.startswith("run_dir=")]
        command = shlex.join(["python", "-m", "star.evolve", *repeated])
        write_atomically(self.path / "command.txt", command + "\n")


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
