"""python -m star.extrapolate genome=... depth=24 method=stretch to=large.yaml: grow a design.

Stacks or stretches a small design to a depth, at a width or at the one that comes nearest to so
many parameters, and prints both tables of `star.describe`. Nothing is trained; `star.train
genome=large.yaml` does. In Python, `star.composing` has the parts.
"""

from dataclasses import asdict, dataclass, field, replace

from star.base.command_line import run_command
from star.base.console import make_console, say
from star.base.files import free_path, write_named
from star.base.settings import expect, expect_one_of
from star.composing.extrapolate import METHODS
from star.composing.sizes import SIZES, TOLERANCE, Size, total_parameters, width_for
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    genome_file_text,
)
from star.genomes.model_config import OPTIONAL
from star.runs.description import description, print_table
from star.runs.extensions import use_extensions
from star.runs.origin import Origin, configured, load_reference, read_origin

WIDTH = 768  # where neither the command nor the genome's file says one


@dataclass
class ExtrapolateConfig:
    """Grow a small design to a large depth and width, without training."""

    genome: str = "???"  # a design, a genome file, its text, or <run>/<id>
    alphabet: str = "star"  # of a text
    method: str = "stack"  # repeat the block; or stretch: lengthen runs of one class in proportion
    depth: int | None = None  # LIVs to grow to; null: those of size
    width: int | None = None  # of the model; null: by size or target_parameters, or the genome's
    target_parameters: int | None = None  # embedding included: 350M; the width follows
    tolerance: float = TOLERANCE  # how far from the target its parameters may be, as a share
    size: str | None = None  # 350m, 1b, 3b or 8b: depth, width and vocabulary of Llama 3
    vocabulary: int | None = None  # tokens; null: those of size, or the genome's
    context: int | None = None  # positions that the cache is counted for; null: the genome's
    to: str | None = None  # a genome file to write; null: none
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators
    library: list[str] = field(default_factory=list)  # folders of designs, known by file name

    def check(self) -> None:
        """Raise `UserError` for the first value that cannot be used."""
        expect_one_of("method", self.method, tuple(METHODS))
        if self.size is not None:
            expect_one_of("size", self.size, tuple(SIZES))
        has_depth = self.depth is not None or self.size is not None
        expect("depth", self.depth, has_depth, "a number of LIVs, or size=1b")
        both = self.width is not None and self.target_parameters is not None
        expect("width", self.width, not both, "null, since target_parameters decides it")
        target, share = self.target_parameters, "a share from 0 to 1"
        expect("target_parameters", target, target is None or target > 0, "a positive number")
        expect("tolerance", self.tolerance, 0 < self.tolerance < 1, share)


def sizes_of(config: ExtrapolateConfig, grown: Genome, origin: Origin | None) -> ModelConfig:
    """The sizes of the grown design. Raises `GenomeError` where it can have none of them."""
    size: Size | None = SIZES[config.size] if config.size is not None else None
    width, vocabulary = config.width, config.vocabulary
    if size is not None:
        width = size.width if width is None else width
        vocabulary = size.vocabulary if vocabulary is None else vocabulary
    model = configured(
        ModelConfig(width=WIDTH), origin, "model", width=width, vocabulary=vocabulary
    )
    if config.target_parameters is not None:
        chosen = width_for(grown, model, config.target_parameters, config.tolerance)
        model = replace(model, width=chosen)
    if origin is not None and model.width != origin.section("model").get("width"):
        model = replace(model, **dict.fromkeys(OPTIONAL))  # they were made for that width
    model.check()
    return model


def main(config: ExtrapolateConfig, arguments: list[str]) -> None:
    """Grow, describe both, write."""
    config.check()
    use_extensions(config.plugins, config.library)
    if config.to is not None:
        free_path("to", config.to)
    origin = read_origin(config.genome)
    small, name, notices = load_reference(config.genome, None, config.alphabet)
    depth = SIZES[config.size or ""].depth if config.depth is None else config.depth
    grown = METHODS[config.method](small, depth)
    model = sizes_of(config, grown, origin)
    cache = configured(CacheSetting(), origin, "cache", context=config.context)
    cache.check()
    before = configured(ModelConfig(width=WIDTH), origin, "model")
    grown_name = f"{name}_{config.method}_{depth}"
    made = f"{config.method} of {name} ({small.id}) from {small.depth} to {depth} LIVs"
    print_table({**description(small, before, cache, name), "notices": notices})
    print_table(description(grown, model, cache, grown_name))
    total = total_parameters(grown, model)
    console = make_console()
    say(console, f"{made}, width {model.width}: {total:,} parameters with embedding")
    if config.to is None:
        return
    content = GenomeFile(
        name=grown_name,
        genome=grown,
        notes=made,
        parents=[small.id],
        settings={"model": asdict(model), "cache": asdict(cache)},
    )
    path = write_named("to", config.to, genome_file_text(content))
    say(console, f"genome file: {path}")


if __name__ == "__main__":
    run_command("extrapolate", main, (GenomeError,))
