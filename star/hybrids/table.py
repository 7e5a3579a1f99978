"""A hybrid's mixture on a console, block for block, with what it costs."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from star.base.console import say
from star.genomes import CacheSetting, Genome, flops_per_token, liv_cache_bytes, parameter_count
from star.genomes.hybrids import Hybrid

from .config import CACHE_BYTES, FLOPS, HybridConfig
from .costs import exact_cost, in_words


def print_mixture(
    console: Console, genome: Genome, weights: Sequence[Sequence[float]], cache: CacheSetting
) -> None:
    """Print a row a block: its letter, the weights of the components, its parameters and cache.

    Args:
        console: to print on.
        genome: over the letters of a hybrid.
        weights: that it has, (blocks, components).
        cache: that bytes are counted for.
    """
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    table = Table(title=f"mixture of {hybrid.name}", title_justify="left")
    table.add_column("block", justify="right")
    table.add_column("letter")
    for component in hybrid.components:
        table.add_column(component.name, justify="right")
    table.add_column("parameters", justify="right")
    table.add_column("cache bytes", justify="right")
    parameters = parameter_count(genome, hybrid.sizes)
    nbytes = liv_cache_bytes(genome, hybrid.sizes, cache)
    for block, letter in enumerate(genome.classes()):
        shares = [_share(hybrid, number, block, w) for number, w in enumerate(weights[block])]
        costs = (f"{parameters.per_liv[block]:,}", f"{nbytes[block]:,}")
        table.add_row(str(block), letter.name, *shares, *costs)
    console.print(table, highlight=False)
    flops = flops_per_token(genome, hybrid.sizes, cache.context)
    total = f"{parameters.non_embedding + parameters.embedding:,} parameters with embeddings"
    costs = f"{in_words(sum(nbytes), CACHE_BYTES)}, {in_words(flops, FLOPS)}"
    say(console, f"{total}, {costs}, at context {cache.context:,}")


def _share(hybrid: Hybrid, number: int, block: int, weight: float) -> str:
    layers = hybrid.segments[number][block]
    last = layers.stop - 1
    which = f"layer {last}" if len(layers) == 1 else f"layers {layers.start}-{last}"
    return f"{weight:.3f} of {which}"


def print_budget(
    console: Console, genome: Genome, config: HybridConfig, cache: CacheSetting
) -> None:
    """Say whether the genome keeps the budget; nothing where there is none."""
    budget, name = config.budget_number, config.cost
    if budget is None or name is None:
        return
    cost = exact_cost(genome, name, cache)
    keeps = "within" if cost <= budget else "above"
    line = f"{in_words(cost, name)}: {keeps} hybrid.budget={config.budget}"
    if cost > budget:
        line += (
            "; every component of weight above zero is there as a whole; hybrid.discretise=one_hot "
            "or parts drops some and keeps the budget"
        )
    say(console, line)
