"""What a pretrained component of a hybrid costs, segment for segment."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

from ..costs import growing_bytes, liv_cache_bytes, parameter_count
from ..errors import GenomeError
from ..flops import liv_products
from ..genome import Genome
from ..model_config import DTYPE_BYTES, CacheSetting, ModelConfig


def segments_of(layers: int, blocks: int) -> list[range]:
    """The layers of each block: as many for each as can be, the first ones have one more.

    Seven layers in three blocks are 0 1 2, 3 4 and 5 6. Raises `GenomeError` for more blocks than
    layers.
    """
    if not 1 <= blocks <= layers:
        raise GenomeError(f"blocks={blocks}: expected 1 to {layers}, the layers of a component")
    short, longer = divmod(layers, blocks)
    starts = [block * short + min(block, longer) for block in range(blocks + 1)]
    return [range(*pair) for pair in pairwise(starts)]


class Component(Protocol):
    """One component: its sizes, and costs by block."""

    @property
    def name(self) -> str:
        """Of its own, for people."""
        ...

    @property
    def digest(self) -> str:
        """Of its weights, as 16 hexadecimal digits."""
        ...

    @property
    def width(self) -> int:
        """Channels between its layers."""
        ...

    @property
    def vocabulary(self) -> int:
        """Tokens that it knows."""
        ...

    @property
    def layers(self) -> int:
        """That blocks are cut of."""
        ...

    def ends(self) -> tuple[int, int, int]:
        """Parameters of the embedding, of the final norm and of the head; the last is 0 where the
        head is the embedding."""
        ...

    def lenders(self, layers: range) -> set[int]:
        """Earlier layers that these borrow features from, or whose weights they use."""
        ...

    def parameters(self, layers: range) -> int:
        """Of these layers, every shared tensor at its owner."""
        ...

    def cache_bytes(self, layers: range, cache: CacheSetting) -> int:
        """Bytes of generation cache of these layers."""
        ...

    def growing_bytes(self, layers: range, cache: CacheSetting) -> int:
        """Those of them that grow with the context."""
        ...

    def products(self, layers: range, context: int) -> int:
        """Multiply-adds of these layers for the last of `context` positions."""
        ...


@dataclass(frozen=True)
class GenomeComponent:
    """A component that is one of our checkpoints, or became one (`star.adopt`)."""

    name: str
    digest: str
    genome: Genome
    sizes: ModelConfig

    @property
    def width(self) -> int:
        """Channels between its LIVs."""
        return self.sizes.width

    @property
    def vocabulary(self) -> int:
        """Tokens that it knows."""
        return self.sizes.vocabulary

    @property
    def layers(self) -> int:
        """Its LIVs."""
        return self.genome.depth

    def ends(self) -> tuple[int, int, int]:
        """As `Component`."""
        table = self.sizes.vocabulary * self.sizes.width
        return table, self.sizes.width, 0 if self.sizes.tie_embeddings else table

    def lenders(self, layers: range) -> set[int]:
        """As `Component`."""
        found: set[int] = set()
        for index in layers:
            sharing = self.genome.sharing[index]
            found |= {*sharing.weight_owner.values()}
            found |= {sharing.feature_owner} if sharing.borrowed else set()
        return found - set(layers)

    def parameters(self, layers: range) -> int:
        """As `Component`."""
        return sum(self._per_liv[index] for index in layers)

    @cached_property
    def _per_liv(self) -> tuple[int, ...]:
        return parameter_count(self.genome, self.sizes).per_liv

    def cache_bytes(self, layers: range, cache: CacheSetting) -> int:
        """As `Component`."""
        return _total(liv_cache_bytes(self.genome, self.sizes, cache), layers)

    def growing_bytes(self, layers: range, cache: CacheSetting) -> int:
        """As `Component`."""
        return _total(growing_bytes(self.genome, self.sizes, cache), layers)

    def products(self, layers: range, context: int) -> int:
        """As `Component`."""
        return _total(liv_products(self.genome, self.sizes, context), layers)


def _total(values: Sequence[int], places: Collection[int]) -> int:
    return sum(values[place] for place in places)


@dataclass(frozen=True)
class ForeignSegment:
    """What one layer of a model of transformers costs that is no genome."""

    parameters: int
    remembered: int  # elements of keys and values a position
    products: int  # multiply-adds of its matrices
    products_per_position: int  # of attention, for every position that it sees


@dataclass(frozen=True)
class ForeignComponent:
    """A component of a family that has no genome: its layers are attention of the whole context."""

    name: str
    digest: str
    family: str  # its adapter in `star.models.hybrid.families`
    config: dict[str, Any]  # of transformers
    width: int
    vocabulary: int
    layers: int
    layer: ForeignSegment
    end_parameters: tuple[int, int, int]  # embedding with positions, final norm, head

    def ends(self) -> tuple[int, int, int]:
        """As `Component`."""
        return self.end_parameters

    def lenders(self, layers: range) -> set[int]:
        """None: nothing is shared."""
        return set()

    def parameters(self, layers: range) -> int:
        """As `Component`."""
        return len(layers) * self.layer.parameters

    def cache_bytes(self, layers: range, cache: CacheSetting) -> int:
        """As `Component`."""
        elements = len(layers) * self.layer.remembered * cache.context
        return cache.batch * DTYPE_BYTES[cache.dtype] * elements

    def growing_bytes(self, layers: range, cache: CacheSetting) -> int:
        """All of it."""
        return self.cache_bytes(layers, cache)

    def products(self, layers: range, context: int) -> int:
        """As `Component`."""
        one = self.layer.products + context * self.layer.products_per_position
        return len(layers) * one
