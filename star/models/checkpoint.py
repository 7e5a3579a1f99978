"""Checkpoints: a folder with `genome.yaml`, `model.yaml` and `model.safetensors`. Nothing in it is
unpickled."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from star.base import files
from star.base.errors import UserError, shown
from star.base.files import check_tensors, copy_weights, named_weights, read_tensors
from star.base.reading import expanded, is_file, is_folder, read_bytes
from star.base.safe_yaml import read_yaml
from star.genomes import (
    CacheSetting,
    GenomeError,
    GenomeFile,
    ModelConfig,
    current_id,
    genome_file_text,
    hybrids,
    read_genome_file,
)

from .language_model import LanguageModel
from .trial import decode_tried

GENOME, MODEL, WEIGHTS = "genome.yaml", "model.yaml", "model.safetensors"
EVALUATION = "evaluation.json"  # what star.train measured, beside them
SCHEMA = 1
GENOME_ID = "genome_id"  # in the metadata of the weights
_MAKE = "python -m star.train makes one"


class Checkpoint(NamedTuple):
    """What a checkpoint folder holds."""

    model: LanguageModel
    genome: GenomeFile
    config: ModelConfig

    @property
    def context(self) -> int:
        """Positions that its cache was counted at, which is the most that it is used for."""
        return self.genome.settings.get("cache", {}).get("context", CacheSetting.context)


def save_checkpoint(
    folder: Path, model: LanguageModel, genome: GenomeFile, config: ModelConfig
) -> None:
    """Write the three files into an existing folder, each whole or not at all; weights in float32
    or as they are. Beside those of a hybrid stands what it is."""
    hybrid = genome.genome.alphabet.hybrid
    if hybrid is not None:
        files.write_text(folder / hybrids.FILE, hybrids.hybrid_text(hybrid))
        genome = replace(genome, genome=hybrids.beside(genome.genome))
    files.write_text(folder / GENOME, genome_file_text(genome))
    files.write_text(
        folder / MODEL, yaml.safe_dump({"schema": SCHEMA, **config.content()}, sort_keys=False)
    )
    files.write_tensors(folder / WEIGHTS, named_weights(model), {GENOME_ID: genome.genome.id})


def weights_digest(folder: str | Path) -> str:
    """A hash of the file of a checkpoint's weights: 16 hexadecimal digits. Raises `UserError` where
    it cannot be read."""
    return hashlib.sha256(read_bytes(expanded(folder) / WEIGHTS)).hexdigest()[:16]


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Build the model of a checkpoint folder, on the CPU.

    Raises `UserError` or `GenomeError`, on one line, for a folder or file that is missing,
    unreadable or does not fit the others.
    """
    folder = expanded(folder)
    if not is_folder(folder, "checkpoint"):
        raise UserError(
            f"checkpoint={folder}: no such folder; expected a checkpoint folder ({_MAKE})"
        )
    for name in (GENOME, MODEL, WEIGHTS):
        if not is_file(folder / name, "checkpoint"):
            raise UserError(
                f"checkpoint={folder}: {name} is missing; expected {GENOME}, {MODEL} and {WEIGHTS} "
                f"there ({_MAKE})"
            )
    genome = read_genome_file(folder / GENOME)
    config = read_model_config(folder / MODEL)
    model = decode_tried(genome.genome, config)
    weights, metadata = read_tensors(folder / WEIGHTS)
    stored, beside = current_id(metadata.get(GENOME_ID, "")), genome.genome.id
    if stored not in ("", beside):
        raise UserError(
            f"{folder / WEIGHTS}: holds the weights of genome {shown(stored, 40)}, but {GENOME} "
            f"beside it is {beside}; put the {GENOME} back that was saved with them"
        )
    check_tensors(named_weights(model), weights, folder / WEIGHTS, any_float=True)
    copy_weights(model, weights)
    return Checkpoint(model, genome, config)


def read_model_config(path: Path) -> ModelConfig:
    """Read `model.yaml`. Raises `UserError` naming the file, the key and what was expected."""
    content: Any = read_yaml(path)
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise UserError(
            f"{path}: expected a mapping with the key 'schema: {SCHEMA}' and the model's sizes"
        )
    try:
        return ModelConfig.from_content(content)
    except GenomeError as error:
        raise UserError(f"{path}: {error}") from None
