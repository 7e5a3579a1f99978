"""What a genome is and what it costs, LIV by LIV: as a mapping, and as a table of a console."""

from typing import Any

from rich.table import Table

from star.base.console import make_console, say
from star.base.settings import size_text
from star.genomes import CacheSetting, Genome, ModelConfig, liv_cache_bytes, parameter_count
from star.genomes.served import served_bytes
from star.runs.names import what_it_is


def _sharing_text(genome: Genome, index: int) -> str:
    """In words, whose weights and features one LIV uses."""
    sharing = genome.sharing[index]
    parts = []
    if sharing.borrowed:
        parts.append(f"{', '.join(sharing.borrowed)} of LIV {sharing.feature_owner}")
    parts += [
        f"weights of {', '.join(groups)} tied to LIV {owner}"
        for owner, groups in sharing.tied(index).items()
    ]
    return "; ".join(parts) or "-"


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
    parameters, sizes = parameter_count(genome, model), genome.sizes(model)
    nbytes = liv_cache_bytes(genome, model, cache)
    livs = [
        {
            "liv": index,
            "class": liv_class.name,
            "operator": liv_class.operator.code,
            "description": what_it_is(genome, index),
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
        "norms": sizes.norms,
        "residual_scale": sizes.residual_scale,
        "parameters": parameters.non_embedding,
        "embedding_parameters": parameters.embedding,
        "cache_bytes": sum(nbytes),
        "served_bytes": served_bytes(genome, model, cache),
        "context": cache.context,
        "batch": cache.batch,
        "dtype": cache.dtype,
        "state_dtype": cache.state_dtype,
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
    if content["norms"] != ModelConfig.norms or content["residual_scale"] != 1:
        norms, scale = content["norms"], content["residual_scale"]
        say(console, f"norms: {norms}, what each LIV adds x {scale:.4g}")
    say(console, f"embedding: {content['embedding_parameters']:,} parameters")
    dtypes = f"{content['dtype']}, running states in {content['state_dtype']}"
    setting = f"context {content['context']}, batch {content['batch']}, {dtypes}"
    say(console, f"cache: {size_text(content['cache_bytes'])} at {setting}")
    say(console, f"as a paged server reserves it: {size_text(content['served_bytes'])}")
    say(console, f"genome: {content['genome']}")
