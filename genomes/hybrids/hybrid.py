"""A hybrid: components cut into as many blocks, and what a genome over its letters costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING

from ..backbone import USUAL
from ..costs import ParameterCount
from ..errors import GenomeError
from ..model_config import CacheSetting, ModelConfig
from .components import Component, segments_of
from .projectors import PROJECTORS, ProjectorCost, pair_cost

if TYPE_CHECKING:
    from ..genome import Genome

MIXED, AVERAGED, SHARED = "mixed", "averaged", "shared"
ENDS = (MIXED, AVERAGED, SHARED)  # or the number of a component
LEAST, MOST = 2, 8  # components
MOST_LETTERS = 5000  # mixtures of a block
MOST_PARTS = 16  # that a mixture is divided into
TOLERANCE = 1e-4  # of the sum of a mixture, which float32 may have rounded


@dataclass(frozen=True)
class Hybrid:
    """Two or more components, block for block beside each other.

    In block k, with x the stream at the common width, the widest of all (arXiv 2406.00894):
    `x <- sum_i a_i gate(a_i, out_i, segment_i(gate(a_i, in_i, x)))` with `gate(a, P, x) =
    (1 - a) P(x) + a x`, where x is cut or padded with zeros to the width that is wanted. A
    component of weight 1 thus is itself, and one of weight 0 is not there.

    Attributes:
        name: for people.
        components: in their order.
        blocks: that each is cut into (`segments_of`).
        parts: a letter gives each component so many of these: quarters, with 4.
        projector: a kind of `PROJECTORS`.
        ends: embedding and head: `mixed` weighs those of the components as the first and the last
            block do, `averaged` weighs all alike, `shared` is one of the hybrid's own that begins
            as their average; a number takes those of this component.
        mixture: weights of the components in each block, that the letter `found` stands for.
        projectors: digest of the weights that projectors begin with; empty where they are fresh.
    """

    name: str
    components: tuple[Component, ...]
    blocks: int
    parts: int = 4
    projector: str = "linear"
    ends: str = MIXED
    mixture: tuple[tuple[float, ...], ...] = ()
    projectors: str = ""

    def check(self) -> None:
        """Raise `GenomeError` for the first value that cannot be used."""
        count = len(self.components)
        if not LEAST <= count <= MOST:
            raise GenomeError(f"{count} components: expected {LEAST} to {MOST}")
        if not 1 <= self.parts <= MOST_PARTS:
            raise GenomeError(f"parts={self.parts}: expected 1 to {MOST_PARTS}")
        if self.projector not in PROJECTORS:
            known = ", ".join(PROJECTORS)
            raise GenomeError(f"projector={self.projector}: expected one of {known}")
        letters = comb(self.parts + count - 1, count - 1)
        if letters > MOST_LETTERS:
            raise GenomeError(
                f"parts={self.parts} of {count} components: {letters:,} mixtures, expected at most "
                f"{MOST_LETTERS:,}"
            )
        numbers = [str(number) for number in range(count)]
        if self.ends not in (*ENDS, *numbers):
            expected = ", ".join((*ENDS, *numbers))
            raise GenomeError(f"ends={self.ends}: expected one of {expected}")
        for component in self.components:
            if component.layers < self.blocks:
                raise GenomeError(
                    f"blocks={self.blocks}: {component.name} has {component.layers} layers only"
                )
            if component.vocabulary != self.vocabulary:
                first = self.components[0]
                raise GenomeError(
                    f"{first.name} knows {first.vocabulary:,} tokens and {component.name} "
                    f"{component.vocabulary:,}: expected components of one vocabulary"
                )
        self._check_mixture()

    def _check_mixture(self) -> None:
        if self.mixture and len(self.mixture) != self.blocks:
            raise GenomeError(
                f"mixture: has {len(self.mixture)} rows, expected one for each of {self.blocks} "
                "blocks"
            )
        for block, row in enumerate(self.mixture):
            if len(row) != len(self.components):
                raise GenomeError(
                    f"mixture: block {block} has {len(row)} weights, expected one for each of "
                    f"{len(self.components)} components"
                )
            if min(row) < 0 or not abs(sum(row) - 1) <= TOLERANCE:
                raise GenomeError(
                    f"mixture: the weights of block {block} are {list(row)}, expected none below "
                    "0 and a sum of 1"
                )

    @cached_property
    def width(self) -> int:
        """The common width: the widest of all."""
        return max(component.width for component in self.components)

    @property
    def vocabulary(self) -> int:
        """Tokens of all components."""
        return self.components[0].vocabulary

    @cached_property
    def segments(self) -> tuple[tuple[range, ...], ...]:
        """For each component the layers of each block."""
        return tuple(tuple(segments_of(c.layers, self.blocks)) for c in self.components)

    @property
    def sizes(self) -> ModelConfig:
        """What `star.models.decode` is given."""
        return ModelConfig(width=self.width, vocabulary=self.vocabulary)

    def check_fits(self, genome: "Genome", model: ModelConfig) -> None:
        """Raise `GenomeError` unless a genome has a letter for each block and no more, and width
        and vocabulary are those of the hybrid."""
        for key, given, own in (
            ("width", model.width, self.width),
            ("vocabulary", model.vocabulary, self.vocabulary),
        ):
            if given != own:
                raise GenomeError(
                    f"model.{key}={given}: hybrid {self.name} has {own}; set model.{key}={own}"
                )
        if genome.depth != self.blocks:
            raise GenomeError(
                f"genome of {genome.depth} letters: hybrid {self.name} has {self.blocks} blocks, "
                "expected one for each"
            )
        if genome.backbone != USUAL:
            raise GenomeError(
                f"genome {genome.to_text()!r}: a hybrid has no genes of the backbone, since norms "
                "are those of its components; expected a letter for each block only"
            )

    def weights(self, genome: "Genome") -> tuple[tuple[float, ...], ...]:
        """The weights of the components in each block, (blocks, components)."""
        return tuple(
            letter.weights(self, block)  # type: ignore[attr-defined]
            for block, letter in enumerate(genome.classes())
        )

    def needed(self, weights: Sequence[Sequence[float]]) -> tuple[tuple[bool, ...], ...]:
        """Whether each component is there in each block: where it has weight, and where a later
        block that is there borrows from it. (blocks, components)"""
        rows = [[weight > 0 for weight in row] for row in weights]
        for number, (component, segments) in enumerate(
            zip(self.components, self.segments, strict=True)
        ):
            for block in reversed(range(self.blocks)):
                lenders = component.lenders(segments[block]) if rows[block][number] else set()
                for earlier in range(block):
                    rows[earlier][number] |= not lenders.isdisjoint(segments[earlier])
        return tuple(map(tuple, rows))

    def end_weights(self, weights: Sequence[Sequence[float]], block: int) -> tuple[float, ...]:
        """What each component's embedding (block 0) or head (block -1) counts for; none do where
        the hybrid has its own."""
        count = len(self.components)
        if self.ends == MIXED:
            return tuple(weights[block])
        if self.ends == SHARED:
            return (0.0,) * count
        if self.ends == AVERAGED:
            return (1 / count,) * count
        return tuple(float(number == int(self.ends)) for number in range(count))

    def present(self, genome: "Genome") -> tuple[tuple[tuple[Component, range], ...], ...]:
        """For each block the components that are there, with the layers of them that are."""
        return tuple(
            tuple(
                (self.components[n], self.segments[n][block])
                for n, there in enumerate(row)
                if there
            )
            for block, row in enumerate(self.needed(self.weights(genome)))
        )

    def parameter_count(self, genome: "Genome") -> ParameterCount:
        """Parameters of what is there: blocks with their projectors, ends."""
        weights = self.weights(genome)
        per_block = tuple(
            sum(component.parameters(layers) for component, layers in present)
            + sum(sum(cost) for cost in self._projector_costs(row))
            for present, row in zip(self.present(genome), weights, strict=True)
        )
        embedding, norms = self._end_parameters(weights)
        return ParameterCount(sum(per_block) + norms, embedding, per_block)

    def _projector_costs(self, row: Sequence[float]) -> list[ProjectorCost]:
        return [
            pair_cost(self.projector, self.width, component.width)
            for component, weight in zip(self.components, row, strict=True)
            if 0 < weight < 1
        ]

    def _end_parameters(self, weights: Sequence[Sequence[float]]) -> tuple[int, int]:
        """Of embeddings and heads, and of the final norms."""
        if self.ends == SHARED:
            return self.vocabulary * self.width, self.width
        tables = norms = 0
        first, last = self.end_weights(weights, 0), self.end_weights(weights, -1)
        for component, begins, finishes in zip(self.components, first, last, strict=True):
            embedding, norm, head = component.ends()
            is_tied = not head
            tables += embedding if begins or (finishes and is_tied) else 0
            tables += head if finishes else 0
            norms += norm if finishes else 0
        return tables, norms

    def cache_bytes(self, genome: "Genome", cache: CacheSetting) -> tuple[int, ...]:
        """Bytes of generation cache of each block."""
        return tuple(
            sum(component.cache_bytes(layers, cache) for component, layers in present)
            for present in self.present(genome)
        )

    def growing_bytes(self, genome: "Genome", cache: CacheSetting) -> tuple[int, ...]:
        """Those of them that grow with the context."""
        return tuple(
            sum(component.growing_bytes(layers, cache) for component, layers in present)
            for present in self.present(genome)
        )

    def products(self, genome: "Genome", context: int) -> int:
        """Multiply-adds for the last of `context` positions, heads included."""
        weights = self.weights(genome)
        of_projectors = sum(cost.weights for row in weights for cost in self._projector_costs(row))
        of_layers = sum(
            component.products(layers, context)
            for present in self.present(genome)
            for component, layers in present
        )
        return of_projectors + of_layers + self._head_products(weights)

    def _head_products(self, weights: Sequence[Sequence[float]]) -> int:
        if self.ends == SHARED:
            return self.vocabulary * self.width
        last = self.end_weights(weights, -1)
        return sum(
            component.vocabulary * component.width
            for component, weight in zip(self.components, last, strict=True)
            if weight
        )
