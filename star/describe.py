"""python -m star.describe: what a genome is and what it costs, LIV by LIV.

`genome=` takes a library name, a genome file, the text form, or `<run>/<id>`. Nothing is built or
trained; the numbers come from `star.genomes.costs`. `lineage=true` shows the ancestry of a genome
of a run.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from star.base.command_line import register, run_command
from star.base.errors import UserError
from star.genomes import (
    CacheSetting,
    Genome,
    ModelConfig,
    fit_depth,
    liv_cache_bytes,
    load_genome,
    parameter_count,
)
from star.runs.lineage import find, lineage_tree, read_run, split_reference

FORMATS = ("table", "json")
PLAIN_WIDTH = 110  # columns where there is no terminal


@dataclass
class DescribeConfig:
    """Settings of the command.

    genome: library name, file or text. depth: LIVs (None: the genome's own). width: model width.
    context, batch, dtype: what the cache is computed for. format: `table` or `json`. lineage: show
    where a genome of a run, `<run>/<id>`, came from.
    """

    genome: str = "transformer_pp"
    alphabet: str = "star"
    depth: int | None = None
    width: int = 768
    context: int = 4096
    batch: int = 1
    dtype: str = "bfloat16"
    format: str = "table"
    lineage: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)


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
    """The genome, its name and notices; errors as `load_genome`, and `UserError` for an id that a
    run does not have."""
    place = None if Path(config.genome).exists() else split_reference(config.genome)
    if place is None:
        return load_genome(config.genome, config.depth, config.alphabet)
    folder, genome_id = place
    found = find(read_run(folder), folder, genome_id).genome
    return (found if config.depth is None else fit_depth(found, config.depth)), genome_id, []


def print_lineage(config: DescribeConfig) -> None:
    """Print the ancestry. Raises `UserError` for a genome that is not one of a run."""
    place = split_reference(config.genome)
    if place is None:
        raise UserError(f"genome={config.genome}: lineage=true expects <run folder>/<genome id>")
    folder, genome_id = place
    run = read_run(folder)
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    console.print(lineage_tree(run, find(run, folder, genome_id)), highlight=False)


def describe(config: DescribeConfig) -> dict[str, Any]:
    """Everything the command shows, as one JSON-ready mapping; cache in bytes, parameters as
    counts."""
    genome, name, notices = read_genome(config)
    genome = genome.canonical()
    parameters = parameter_count(genome, config.model)
    cache = liv_cache_bytes(
        genome, config.model, CacheSetting(config.context, config.batch, config.dtype)
    )
    livs = [
        {
            "liv": index,
            "class": liv_class.name,
            "operator": liv_class.operator.code,
            "description": liv_class.description,
            "sharing": _sharing_text(genome, index),
            "parameters": parameters.per_liv[index],
            "cache_bytes": cache[index],
        }
        for index, liv_class in enumerate(genome.classes())
    ]
    return {
        "name": name,
        "genome": genome.to_text(),
        "genome_id": genome.id,
        "alphabet": genome.alphabet.name,
        "depth": genome.depth,
        "width": config.width,
        "parameters": parameters.non_embedding,
        "embedding_parameters": parameters.embedding,
        "cache_bytes": sum(cache),
        "context": config.context,
        "batch": config.batch,
        "dtype": config.dtype,
        "notices": notices,
        "livs": livs,
    }


def print_table(content: dict[str, Any]) -> None:
    """Print the table of LIVs and the totals."""
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    for notice in content["notices"]:
        console.print(f"note: {notice}", style="yellow", highlight=False)
    title = f"{content['name']}  {content['genome_id']}  depth {content['depth']}  width {content['width']}"
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
    console.print(f"embedding: {content['embedding_parameters']:,} parameters", highlight=False)
    cache_setting = f"context {content['context']}, batch {content['batch']}, {content['dtype']}"
    console.print(
        f"cache: {content['cache_bytes'] / 1e6:,.2f} MB at {cache_setting}", highlight=False
    )
    console.print(f"genome: {content['genome']}", highlight=False, soft_wrap=True)


def main(config: DescribeConfig) -> None:
    """Describe one genome in the wanted format."""
    if config.format not in FORMATS:
        raise UserError(f"format={config.format!r}: expected one of {', '.join(FORMATS)}")
    if config.lineage:
        print_lineage(config)
        return
    content = describe(config)
    print(json.dumps(content)) if config.format == "json" else print_table(content)


register("describe_schema", DescribeConfig)

if __name__ == "__main__":
    run_command("describe", main)
