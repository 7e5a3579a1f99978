"""python -m star.adopt model=<folder or name on the hub> to=<folder>: a model of transformers as a
checkpoint of ours.

Its configuration becomes a genome and sizes, its weights ours, through the same views as in
`star.export`. What no genome is, is refused with the key that says so. The logits of both are
compared before the folder takes its place.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError, plain, shown
from star.base.files import writing
from star.base.imports import expect_installed
from star.base.reading import expanded
from star.exporting import TOLERANCE, new_folder, refuse_existing
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    parameter_count,
)
from star.models import decode, load_checkpoint, save_checkpoint

CONTEXT = "max_position_embeddings"


@dataclass
class AdoptConfig:
    """Make a checkpoint of a model of Hugging Face transformers."""

    model: str = "???"  # its folder, or its name on the hub
    to: str = "???"  # the new folder
    name: str | None = None  # of the genome; null: that of the model
    revision: str = "main"  # branch, tag or commit on the hub

    def check(self) -> None:
        """Raise `UserError` for the first setting that cannot be used."""
        expect_installed("star.adopt", "transformers")
        refuse_existing(self.to)


def genome_file(config: AdoptConfig, genome: Genome, sizes: ModelConfig, theirs: Any) -> GenomeFile:
    """The genome with its name, and what commands that take it go on with. theirs: the
    configuration.

    Raises `GenomeError` for more positions than a cache can hold.
    """
    from star.exporting.source import name_of

    context = getattr(theirs, CONTEXT, None)
    setting = CacheSetting(context) if isinstance(context, int) else CacheSetting()
    setting.check()
    return GenomeFile(
        config.name or name_of(config.model) or theirs.model_type,
        genome,
        notes=f"{type(theirs).__name__.removesuffix('Config')}ForCausalLM of {config.model}.",
        settings={"model": sizes.content(), "cache": asdict(setting)},
    )


def composition(genome: Genome) -> str:
    """Such as `10 GConv-1, 6 QKNorm-2, 16 GMemless`."""
    counts = Counter(liv_class.name for liv_class in genome.classes())
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def plan(config: AdoptConfig) -> tuple[Any, GenomeFile, ModelConfig]:
    """The source of a model, its genome and its sizes, before any of its weights is read.

    Raises:
        UserError: for a model that no genome is, or whose configuration cannot be read.
        GenomeError: for what is no genome, or more positions than a cache can hold.
    """
    from star.exporting.source import open_source, read_genome

    source = open_source(config.model, config.revision)
    genome, sizes = read_genome(source, config.model)
    return source, genome_file(config, genome, sizes, source.config), sizes


def adopt(config: AdoptConfig, source: Any, content: GenomeFile, sizes: ModelConfig) -> float:
    """Write the folder, beside its place until it is whole; returns the largest difference of its
    logits from theirs.

    Args:
        config: the settings.
        source: of `plan`, as the others.
        content: the genome.
        sizes: of the model.

    Raises:
        UserError: for weights that cannot be read or differ, or a folder that cannot be written.
    """
    from star.exporting.companions import (
        TOKENIZER_FILES,
        copy_files,
        write_generation,
    )
    from star.exporting.folder import difference
    from star.exporting.source import INDEX, SHARDS, WEIGHTS, fetch, load_theirs

    fetch(config.model, config.revision, (WEIGHTS, INDEX, SHARDS))
    theirs, dtype = load_theirs(source, config.model)
    ours = decode(content.genome, sizes)
    try:
        source.copy_to(ours, theirs)
    except UserError as error:
        raise UserError(f"model={config.model}: {error}") from None
    folder = expanded(config.to)
    with new_folder(folder) as unfinished:
        with writing(folder):
            save_checkpoint(unfinished, ours.to(dtype), content, sizes)
            write_generation(source.folder, unfinished, source.config)
            copy_files(source.folder, unfinished, TOKENIZER_FILES)
        del ours  # a model of billions is there twice as it is
        checkpoint = load_checkpoint(unfinished)
        try:
            found = difference(checkpoint, theirs)
        except Exception as error:  # whatever their model raises
            what = f"{type(error).__name__}: {shown(plain(error))}"
            raise UserError(f"model={config.model}: cannot be run ({what})") from None
        if not found <= TOLERANCE:
            raise UserError(
                f"model={config.model}: the logits of its genome differ by {found:.2g}; nothing "
                "was written, please report this"
            )
    return found


def main(config: AdoptConfig, arguments: list[str]) -> None:
    """Check, say what it is, adopt."""
    config.check()
    console = make_console()
    source, content, sizes = plan(config)
    count = parameter_count(content.genome, sizes)
    parameters = f"{count.non_embedding:,} parameters and {count.embedding:,} of the embedding"
    say(console, f"{content.name} ({content.genome.id}): {composition(content.genome)}")
    say(console, f"{parameters}; reading its weights")
    found = adopt(config, source, content, sizes)
    say(console, f"its logits differ by at most {found:.1g}")
    say(console, f"checkpoint: {expanded(config.to)}")


if __name__ == "__main__":
    run_command("adopt", main, (GenomeError,))
