"""python -m star.describe: what a genome is and what it costs, LIV by LIV.

`genome=` takes a design's name, a genome file, the text form, or `<run>/<id>`. Nothing is built or
trained; the numbers come from `star.genomes.costs`. `lineage=true` shows the ancestry of a genome
of a run. In Python, `star.describe("lfm2")` gives the same as a mapping.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.table import Table

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.reading import expanded, kind_of
from star.base.settings import expect_one_of
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    fit_depth,
    liv_cache_bytes,
    load_genome,
    parameter_count,
)
from star.genomes.files import is_genome_text
from star.runs.extensions import use_extensions
from star.runs.lineage import Lineage
from star.runs.run import Run, split_reference

FORMATS = ("table", "json")


@dataclass
class DescribeConfig:
    """Say what a genome is and what it costs, LIV by LIV."""

    genome: str = "transformer_pp"  # a design, a genome file, its text, or <run>/<id>
    alphabet: str = "star"  # of a text
    depth: int | None = None  # number of LIVs; null: the genome's own
    width: int = 768  # of the model: model.width
    context: int = 4096  # positions the cache holds: cache.context
    batch: int = 1  # sequences: cache.batch
    dtype: str = "bfloat16"  # of the cache: cache.dtype
    format: str = "table"  # or json
    lineage: bool = False  # true: the ancestry of genome=<run>/<id>
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)


def _sharing_text(genome: Genome, index: int) -> str:
    """In words, whose weights and features one LIV uses."""
    sharing = genome.sharing[index]
    parts = []
    if sharing.borrowed:
        parts.append(f"{', '.join(sharing.borrowed)} of LIV {sharing.feature_owner}")
    tied: dict[int, list[str]] = {}
    for group, owner in sharing.weight_owner.items():
        if owner != index:
            tied.setdefault(owner, []).append(group)
    parts += [
        f"weights of {', '.join(groups)} tied to LIV {owner}" for owner, groups in tied.items()
    ]
    return "; ".join(parts) or "-"


def read_genome(config: DescribeConfig) -> tuple[Genome, str, list[str]]:
    """The genome, its name and notices.

    Raises `GenomeError` as `load_genome`, and `UserError` for an id that a run does not have.
    """
    is_there = is_genome_text(config.genome) or kind_of(expanded(config.genome), "genome")
    place = None if is_there else split_reference(config.genome)
    if place is None:
        return load_genome(config.genome, config.depth, config.alphabet)
    folder, genome_id = place
    found = Run.open(folder).genome(genome_id)
    return (found if config.depth is None else fit_depth(found, config.depth)), genome_id, []


def print_lineage(config: DescribeConfig) -> None:
    """Print the ancestry. Raises `UserError` for a genome that is not one of a run."""
    place = split_reference(config.genome)
    if place is None:
        raise UserError(f"genome={config.genome}: lineage=true expects <run folder>/<genome id>")
    run = Run.open(place[0])
    make_console().print(Lineage(run).tree(run.candidate(place[1])), highlight=False)


def description(
    genome: Genome, model: ModelConfig, cache: CacheSetting, name: str = "genome"
) -> dict[str, Any]:
    """Everything the command shows, ready for JSON; cache in bytes, parameters as counts.

    Args:
        genome: what to describe; its canonical form is.
        model: sizes.
        cache: positions, sequences and dtype that the generation cache is counted for.
        name: of the genome.

    Raises:
        GenomeError: for a genome that is invalid or does not fit the sizes.
    """
    genome = genome.canonical()
    parameters = parameter_count(genome, model)
    nbytes = liv_cache_bytes(genome, model, cache)
    livs = [
        {
            "liv": index,
            "class": liv_class.name,
            "operator": liv_class.operator.code,
            "description": liv_class.description,
            "sharing": _sharing_text(genome, index),
            "parameters": parameters.per_liv[index],
            "cache_bytes": nbytes[index],
        }
        for index, liv_class in enumerate(genome.classes())
    ]
    return {
        "name": name,
        "genome": genome.to_text(),
        "genome_id": genome.id,
        "alphabet": genome.alphabet.name,
        "depth": genome.depth,
        "width": model.width,
        "parameters": parameters.non_embedding,
        "embedding_parameters": parameters.embedding,
        "cache_bytes": sum(nbytes),
        "context": cache.context,
        "batch": cache.batch,
        "dtype": cache.dtype,
        "notices": [],
        "livs": livs,
    }


def print_table(content: dict[str, Any]) -> None:
    """Print the table of LIVs and the totals."""
    console = make_console()
    for notice in content["notices"]:
        console.print(f"note: {notice}", style="yellow", highlight=False)
    name, genome_id = content["name"], content["genome_id"]
    title = f"{name}  {genome_id}  depth {content['depth']}  width {content['width']}"
    table = Table(title=title, title_justify="left")
    for column, justify in (
        ("LIV", "right"),
        ("class", "left"),
        ("what it is", "left"),
        ("sharing", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("parameters", justify="right")
    table.add_column("cache bytes", justify="right")
    for liv in content["livs"]:
        numbers = (f"{liv['parameters']:,}", f"{liv['cache_bytes']:,}")
        table.add_row(str(liv["liv"]), liv["class"], liv["description"], liv["sharing"], *numbers)
    table.add_section()
    totals = (f"{content['parameters']:,}", f"{content['cache_bytes']:,}")
    table.add_row("", "total", "with the final norm, without embedding", "", *totals)
    console.print(table)
    say(console, f"embedding: {content['embedding_parameters']:,} parameters")
    setting = f"context {content['context']}, batch {content['batch']}, {content['dtype']}"
    say(console, f"cache: {content['cache_bytes'] / 1e6:,.2f} MB at {setting}")
    say(console, f"genome: {content['genome']}")


def main(config: DescribeConfig, arguments: list[str]) -> None:
    """Describe one genome in the wanted format."""
    expect_one_of("format", config.format, FORMATS)
    use_extensions(config.plugins, config.library)
    if config.lineage:
        print_lineage(config)
        return
    genome, name, notices = read_genome(config)
    content = {**description(genome, config.model, config.cache, name), "notices": notices}
    if config.format == "json":
        print(json.dumps(content))
    else:
        print_table(content)


def describe(
    genome: Genome | str | Path,
    width: int = 768,
    depth: int | None = None,
    context: int = 4096,
    batch: int = 1,
    dtype: str = "bfloat16",
) -> dict[str, Any]:
    """What a genome is and what it costs, as a mapping: `star.describe` of the Python face.

    Args:
        genome: a genome, a design's name, a file or a text.
        width: of the model.
        depth: number of LIVs; None is the genome's own.
        context: positions that the cache holds.
        batch: sequences.
        dtype: of the cache's elements.

    Raises:
        GenomeError: for what is no genome, or sizes it cannot have.
    """
    name = "genome"
    if not isinstance(genome, Genome):
        genome, name, _ = load_genome(str(genome), depth)
    elif depth is not None:
        genome = fit_depth(genome, depth)
    cache = CacheSetting(context, batch, dtype)
    return description(genome, ModelConfig(width=width), cache, name)


class _CallableModule(ModuleType):
    """`star.describe` is this module, and that function too: importing one binds the same name."""

    __call__ = staticmethod(describe)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    run_command("describe", main, (GenomeError,))
