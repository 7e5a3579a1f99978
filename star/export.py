"""python -m star.export checkpoint=<folder> to=<folder>: a checkpoint for transformers.

Where the genome is a model that transformers has (Llama, Mistral, Qwen3, LFM2, LFM3, Mamba,
Mamba-2, Nemotron-H) it becomes one, which other tools know too; any other one becomes
`StarForCausalLM`. The folder is loaded again and its logits are compared before it takes its place.
`star.adopt` is the way back.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.files import stored_dtype, writing
from star.base.imports import expect_installed, import_plugins
from star.base.reading import expanded, is_file, read_text
from star.base.settings import expect, expect_one_of
from star.exporting import FORMATS, TOLERANCE, new_folder, refuse_existing
from star.genomes import GenomeError
from star.models.checkpoint import EVALUATION, WEIGHTS, Checkpoint, load_checkpoint


@dataclass
class ExportConfig:
    """Write a checkpoint as a folder that Hugging Face transformers loads."""

    checkpoint: str = "???"  # folder that star.train left
    to: str = "???"  # the new folder
    format: str = "auto"  # native: a class that transformers has; star: ours; auto: either
    context: int | None = None  # the most positions, where the card counts the cache; null: its own
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators

    def check(self) -> None:
        """Raise `UserError` for the first setting that cannot be used."""
        expect_one_of("format", self.format, FORMATS)
        fits = self.context is None or self.context >= 1
        expect("context", self.context, fits, "at least 1 position")
        expect_installed("star.export", "transformers")
        refuse_existing(self.to)


def measured(folder: Path) -> dict[str, Any]:
    """What `star.train` measured of a checkpoint; empty where it has not."""
    if not is_file(folder / EVALUATION, "checkpoint"):
        return {}
    try:
        found = json.loads(read_text(folder / EVALUATION))
    except ValueError as error:
        raise UserError(f"{folder / EVALUATION}: cannot be read ({error})") from None
    return found if isinstance(found, dict) else {}


def export(config: ExportConfig, checkpoint: Checkpoint, folder: Path) -> tuple[Any, float]:
    """Write the folder, beside its place until it is whole; returns the model as it was loaded
    again, and the largest difference of its logits from ours.

    Raises:
        UserError: where the genome cannot be exported so, or the folder cannot be written.
    """
    from torch import nn
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from star.exporting.folder import as_hugging_face, difference, write_folder

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    context = config.context or checkpoint.context
    source = expanded(config.checkpoint)
    evaluation = measured(source)
    model = as_hugging_face(checkpoint, config.format, context)
    nn.Module.to(model, dtype=stored_dtype([source / WEIGHTS]))
    with new_folder(folder) as unfinished:
        with writing(folder):
            write_folder(unfinished, source, checkpoint, model, context, evaluation)
        loaded = AutoModelForCausalLM.from_pretrained(unfinished, dtype=checkpoint.model.dtype)
        found = difference(checkpoint, loaded)
        if not found <= TOLERANCE:
            raise UserError(
                f"to={config.to}: its logits differ from the checkpoint's by {found:.2g}; nothing "
                "was written, please report this"
            )
    return loaded, found


def main(config: ExportConfig, arguments: list[str]) -> None:
    """Check, export, say what it is."""
    config.check()
    console = make_console()
    import_plugins(config.plugins)
    checkpoint = load_checkpoint(config.checkpoint)
    folder = expanded(config.to)
    model, found = export(config, checkpoint, folder)
    say(console, f"{checkpoint.genome.name} as {type(model).__name__} in {folder}")
    say(console, f"loaded again, its logits differ by at most {found:.1g}")


if __name__ == "__main__":
    run_command("export", main, (GenomeError,))
