"""python -m star.describe: what a genome is and what it costs, LIV by LIV.

`genome=` takes a design's name, a genome file, the text form, or `<run>/<id>`. Nothing is built or
trained; the numbers come from `star.genomes.costs`. `lineage=true` shows the ancestry of a genome
of a run, `picture=card.svg` draws the architecture. In Python, `star.describe("lfm2")` gives the
same as a mapping.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.errors import UserError
from star.base.files import free_path, write_named
from star.base.settings import expect_one_of
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    fit_depth,
)
from star.runs.description import description, print_table
from star.runs.extensions import use_extensions
from star.runs.lineage import Lineage
from star.runs.origin import configured, load_reference, read_origin
from star.runs.run import Run, split_reference

FORMATS = ("table", "json")
PICTURES = (".svg", ".png")


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
    picture: str | None = None  # a file to draw it to, card.svg or card.png; null: none
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name
    model: ModelConfig = field(default_factory=ModelConfig)
    cache: CacheSetting = field(default_factory=CacheSetting)

    ORIGIN_KEYS: ClassVar[tuple[str, ...]] = ("genome", "alphabet")
    origin = staticmethod(read_origin)  # of `genome`: what is taken from there unless it is given


def print_lineage(config: DescribeConfig) -> None:
    """Print the ancestry. Raises `UserError` for a genome that is not one of a run."""
    place = split_reference(config.genome)
    if place is None:
        raise UserError(f"genome={config.genome}: lineage=true expects <run folder>/<genome id>")
    run = Run.open(place[0])
    make_console().print(Lineage(run).tree(run.candidate(place[1])), highlight=False)


def check_picture(given: str) -> None:
    """Raise `UserError` for a file of another kind, or that is there."""
    if free_path("picture", given).suffix.lower() not in PICTURES:
        raise UserError(f"picture={given}: expected a name that ends in {' or '.join(PICTURES)}")


def draw(genome: Genome, config: DescribeConfig, name: str, given: str) -> Path:
    """Draw one architecture to a file, and give its path. Raises `UserError` where it cannot."""
    from star.runs.report.cards import card_picture, card_rows
    from star.runs.report.vega import picture

    genome = genome.canonical()
    rows = card_rows(genome, config.model, config.cache)
    said = [f"{genome.depth} LIVs of width {config.model.width}", *genome.backbone.words()]
    title = ", ".join([name, *said])
    kind = Path(given).suffix.lower().removeprefix(".")
    return write_named("picture", given, picture(card_picture(rows, title), kind))


def main(config: DescribeConfig, arguments: list[str]) -> None:
    """Describe one genome in the wanted format."""
    expect_one_of("format", config.format, FORMATS)
    use_extensions(config.plugins, config.library)
    if config.lineage:
        print_lineage(config)
        return
    if config.picture is not None:
        check_picture(config.picture)
    origin = read_origin(config.genome, config.alphabet)
    genome, name, notices = load_reference(config.genome, config.depth, config.alphabet)
    notices += origin.notices(config) if origin else []
    content = {**description(genome, config.model, config.cache, name), "notices": notices}
    drawn = draw(genome, config, name, config.picture) if config.picture is not None else None
    if config.format == "json":
        print(json.dumps(content))
    else:
        print_table(content)
        if drawn is not None:
            say(make_console(), f"picture: {drawn}")


def describe(
    genome: Genome | str | Path,
    width: int | None = None,
    depth: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    dtype: str | None = None,
    state_dtype: str | None = None,
) -> dict[str, Any]:
    """What a genome is and what it costs, as a mapping: `star.describe` of the Python face.

    Sizes that are None are those that a genome file carries, or else 768, 4,096 positions, 1 and
    bfloat16.

    Args:
        genome: a genome, a design's name, a file or a text.
        width: of the model.
        depth: number of LIVs; None is the genome's own.
        context: positions that the cache holds.
        batch: sequences.
        dtype: of the cache's keys, values and last inputs.
        state_dtype: of its running states.

    Raises:
        GenomeError: for what is no genome, or sizes it cannot have.
    """
    name, origin = "genome", None
    if not isinstance(genome, Genome):
        origin = read_origin(str(genome))
        genome, name, _ = load_reference(str(genome), depth)
    elif depth is not None:
        genome = fit_depth(genome, depth)
    model = configured(ModelConfig(width=768), origin, "model", width=width)
    asked = {"context": context, "batch": batch, "dtype": dtype, "state_dtype": state_dtype}
    return description(genome, model, configured(CacheSetting(), origin, "cache", **asked), name)


class _CallableModule(ModuleType):
    """`star.describe` is this module, and that function too: importing one binds the same name."""

    __call__ = staticmethod(describe)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    run_command("describe", main, (GenomeError,))
