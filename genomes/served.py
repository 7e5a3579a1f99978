"""What a paged server reserves for the generation cache of a genome, beside the exact bytes.

A server such as vLLM gives out memory in pages of one size for all layers, whatever they keep, so
that mixed models take more than their caches. The rule is that of its hybrid cache manager
(docs.vllm.ai, design/hybrid_kv_cache_manager, 2026), written anew:

- A page of a layer holds so many positions that the layer that writes most a position has 16 or
  more; a running state takes one page, and pages grow until the largest state fits.
- Layers that keep the same are put into groups of one size, the smallest kind's count, or the
  largest's where these are within a quarter; what is missing in a group is reserved too.
- All positions are kept in `ceil(positions / page)` pages, a window in one more than it fills.
"""

from collections import Counter
from itertools import chain
from math import ceil
from typing import NamedTuple

from .costs import FAR, check_fits, liv_cache_bytes
from .genome import Genome
from .hybrids import Component, ForeignComponent, GenomeComponent
from .model_config import DTYPE_BYTES, CacheSetting, ModelConfig

BLOCK = 16  # positions of a page, at least
ALIKE = 1.25  # kinds whose counts differ by less are in groups of the larger one's


class Kept(NamedTuple):
    """What one layer keeps of a sequence.

    position: bytes of one position, 0 for a running state; window: positions that are kept, None
    for all; state: bytes of a running state, 0 without one.
    """

    position: int
    window: int | None
    state: int


def kept_by_layers(genome: Genome, model: ModelConfig, cache: CacheSetting) -> list[Kept]:
    """What each LIV keeps, of a hybrid each layer of the components that are there; one that keeps
    both positions and a state counts twice.

    Raises `GenomeError` as `liv_cache_bytes`.
    """
    hybrid = genome.alphabet.hybrid
    if hybrid is None:
        return list(chain.from_iterable(_kept_by_livs(genome, model, cache)))
    check_fits(genome, model)
    present = chain.from_iterable(hybrid.present(genome))
    return [kept for component, layers in present for kept in _kept_of(component, layers, cache)]


def _kept_of(component: Component, layers: range, cache: CacheSetting) -> list[Kept]:
    if isinstance(component, GenomeComponent):
        livs = _kept_by_livs(component.genome, component.sizes, cache)
        return list(chain.from_iterable(livs[layer] for layer in layers))
    assert isinstance(component, ForeignComponent)
    position = DTYPE_BYTES[cache.dtype] * component.layer.remembered
    return [Kept(position, None, 0)] * len(layers)


def _kept_by_livs(genome: Genome, model: ModelConfig, cache: CacheSetting) -> list[list[Kept]]:
    one = CacheSetting(cache.context, 1, cache.dtype, cache.state_dtype)
    totals = liv_cache_bytes(genome, model, one)
    livs = []
    for liv_class, sharing, total in zip(genome.classes(), genome.sharing, totals, strict=True):
        written = liv_class.operator.structure.cache
        first, second, far, further = (
            written(liv_class, sharing.borrowed, model, n) for n in (1, 2, FAR, 2 * FAR)
        )
        elements, found = second - first, list[Kept]()
        if elements:
            position = DTYPE_BYTES[cache.dtype] * elements
            window = None if further > far else far // elements
            found.append(Kept(position, window, 0))
            total -= position * min(cache.context, window or cache.context)
        if total:
            found.append(Kept(0, None, total))
        livs.append(found)
    return livs


def served_bytes(genome: Genome, model: ModelConfig, cache: CacheSetting | None = None) -> int:
    """Bytes of pages that a server reserves for a batch of sequences, each of the whole context.

    Args:
        genome: the backbone.
        model: its sizes.
        cache: positions, sequences and dtypes; None is `CacheSetting()`.

    Raises:
        GenomeError: for a setting that is impossible, an invalid genome, or sizes it cannot have.
    """
    cache = cache or CacheSetting()
    layers = kept_by_layers(genome, model, cache)
    widest = max((layer.position for layer in layers), default=0)
    largest = max((layer.state for layer in layers), default=0)
    page = BLOCK * widest
    if largest > page:
        page = ceil(largest / page) * page if page else largest
    kinds = Counter(layer._replace(state=bool(layer.state)) for layer in layers)
    if not kinds:
        return 0
    least, most = min(kinds.values()), max(kinds.values())
    size = most if most < ALIKE * least else least
    pages = sum(ceil(count / size) * _pages(kind, page, cache) for kind, count in kinds.items())
    return cache.batch * size * pages * page


def _pages(kind: Kept, page: int, cache: CacheSetting) -> int:
    """Pages of one layer for one sequence."""
    if kind.state:
        return 1
    block = page // kind.position
    filled = ceil(cache.context / block)
    return filled if kind.window is None else min(filled, ceil(kind.window / block) + 1)
