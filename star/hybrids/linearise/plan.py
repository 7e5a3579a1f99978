"""Which LIVs may be replaced, what that costs, and which of them keep attention at a budget.

What may be replaced is every LIV whose cache grows with the context: attention, and a convolution
over all positions. LIVs that share weights or features stay or go together, as one unit; what takes
their place shares nothing.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from star.base.errors import UserError
from star.base.settings import expect_one_of, size_text
from star.genomes import (
    ALPHABETS,
    Alphabet,
    CacheSetting,
    Genome,
    Liv,
    LivClass,
    ModelConfig,
    growing_bytes,
    liv_cache_bytes,
    with_operators,
)
from star.genomes.norms import FIXED, POST_ATTENTION
from star.genomes.widths import fits

WIDE = ("extended", "released")  # alphabets to write a new genome in, the smallest first


@dataclass(frozen=True)
class Unit:
    """LIVs that are kept or replaced together: one, or all that share with each other."""

    livs: tuple[int, ...]  # places, from 0
    kept_bytes: int  # of their cache, as they are
    replaced_bytes: int  # of it once they are replaced

    @property
    def saved_bytes(self) -> int:
        """What replacing it saves, which is negative where states are larger than the context."""
        return self.kept_bytes - self.replaced_bytes


def find_replacement(name: str, model: ModelConfig) -> LivClass:
    """The class of a name that may take the place of attention: one with a running state, of which
    nothing grows with the context.

    Raises `UserError` for any other, also one that cannot be built at these sizes.
    """
    found = {c.name: c for c in ALPHABETS["released"].classes if _is_recurrent(c, model)}
    expect_one_of("replacement", name, found)
    return found[name]


def _is_recurrent(liv_class: LivClass, model: ModelConfig) -> bool:
    if not fits(liv_class, model) or not liv_class.operator.structure.states(
        liv_class, (), model, 1
    ):
        return False
    alone = Genome((Liv(liv_class.id),), ALPHABETS["released"])
    return not any(growing_bytes(alone, model, CacheSetting()))


def replaced_genome(genome: Genome, livs: Collection[int], replacement: LivClass) -> Genome:
    """The canonical genome with that class, which shares nothing, at these places.

    Its alphabet is that of the genome where that has the class, otherwise the smallest that has
    all.
    """
    new = tuple(Liv(replacement.id) if n in livs else liv for n, liv in enumerate(genome.livs))
    used = {liv.liv_class for liv in new}
    alphabet = _alphabet_of(used, genome.alphabet)
    return Genome(new, alphabet, genome.backbone).check().canonical()


def _alphabet_of(ids: Collection[int], first: Alphabet) -> Alphabet:
    for alphabet in (first, *(ALPHABETS[name] for name in WIDE)):
        if set(ids) <= alphabet.by_id.keys():
            return alphabet
    return with_operators(ALPHABETS["released"])


def _groups(genome: Genome, model: ModelConfig) -> Iterator[tuple[int, ...]]:
    """Places of LIVs that share, directly or through others, where the cache of any of them
    grows."""
    grows = growing_bytes(genome, model, CacheSetting())
    first = list(range(genome.depth))  # the shallowest that each one is joined with
    for index, sharing in enumerate(genome.sharing):
        for other in {sharing.feature_owner, *sharing.weight_owner.values()}:
            low, high = sorted((first[index], first[other]))
            first = [low if place == high else place for place in first]
    for root in sorted(set(first)):
        group = tuple(index for index, place in enumerate(first) if place == root)
        if any(grows[index] for index in group):
            yield group


@dataclass(frozen=True)
class Plan:
    """What can be replaced in a genome, and what each choice costs.

    Attributes:
        genome: the canonical one.
        model: sizes.
        cache: what the cache is counted for.
        replacement: the class that takes the place of attention.
        units: what is kept or replaced, by their first place.
        original_bytes: of the cache, as the genome is.
    """

    genome: Genome
    model: ModelConfig
    cache: CacheSetting
    replacement: LivClass
    units: tuple[Unit, ...]
    original_bytes: int

    @classmethod
    def make(
        cls, genome: Genome, model: ModelConfig, cache: CacheSetting, replacement: str
    ) -> "Plan":
        """Find the units.

        Args:
            genome: what is linearised.
            model: sizes.
            cache: what the cache is counted for.
            replacement: name of the class that takes the place of attention.

        Raises:
            UserError: for a class that is no replacement, a genome without attention, a hybrid, and
                norms whose places follow from where attention is.
            GenomeError: for a genome that is invalid or does not fit the sizes.
        """
        if genome.alphabet.hybrid is not None:
            raise UserError("checkpoint: is a hybrid of several; linearise its components instead")
        norms = genome.sizes(model).norms
        if norms == POST_ATTENTION:
            raise UserError(
                f"checkpoint: has model.norms={norms}, with which norms move where attention goes, "
                f"so that its weights do not fit; expected one of {', '.join(FIXED)}"
            )
        genome, liv_class = genome.canonical(), find_replacement(replacement, model)
        groups = tuple(_groups(genome, model))
        if not groups:
            raise UserError(
                f"checkpoint: its genome {genome.to_text()} has no attention to replace: the cache "
                "of no LIV grows with the context"
            )
        before = liv_cache_bytes(genome, model, cache)
        all_livs = [index for group in groups for index in group]
        after = liv_cache_bytes(replaced_genome(genome, all_livs, liv_class), model, cache)
        units = tuple(
            Unit(group, sum(before[n] for n in group), sum(after[n] for n in group))
            for group in groups
        )
        return cls(genome, model, cache, liv_class, units, sum(before))

    @property
    def livs(self) -> tuple[int, ...]:
        """Places of all LIVs that may be replaced, by unit."""
        return tuple(index for unit in self.units for index in unit.livs)

    def genome_of(self, kept: Sequence[bool]) -> Genome:
        """The genome in which the units that are not kept are replaced. kept: by unit."""
        replaced = self.replaced_livs(kept)
        return replaced_genome(self.genome, replaced, self.replacement)

    def replaced_livs(self, kept: Sequence[bool]) -> tuple[int, ...]:
        """Places of the LIVs of the units that are not kept. kept: by unit."""
        pairs = zip(self.units, kept, strict=True)
        return tuple(sorted(n for unit, is_kept in pairs if not is_kept for n in unit.livs))

    def choose(self, importance: Sequence[float], budget: float) -> tuple[bool, ...]:
        """Which units keep attention: in the order of importance each one that still fits.

        What would save nothing is kept first. Of equals the shallower one is taken first.

        Args:
            importance: of each unit.
            budget: the most bytes of cache, as a share of the original's.

        Raises:
            UserError: for a budget that no choice meets.
        """
        most = budget * self.original_bytes
        kept = [unit.saved_bytes <= 0 for unit in self.units]
        total = self.bytes_of(kept)
        if total > most:
            raise UserError(
                f"budget={budget:g}: with all {len(self.units)} attention units replaced the cache "
                f"is {size_text(total)} at context {self.cache.context}, "
                f"{total / self.original_bytes:.1%} of {size_text(self.original_bytes)}; give a "
                "larger budget, a longer cache.context or another replacement"
            )
        for number in sorted(range(len(kept)), key=lambda n: (-importance[n], n)):
            extra = self.units[number].saved_bytes
            if not kept[number] and total + extra <= most:
                kept[number], total = True, total + extra
        return tuple(kept)

    def bytes_of(self, kept: Sequence[bool]) -> int:
        """Of the cache when only the units that are not kept are replaced. kept: by unit."""
        pairs = zip(self.units, kept, strict=True)
        return self.original_bytes - sum(u.saved_bytes for u, is_kept in pairs if not is_kept)

    def next_budget(self, importance: Sequence[float], kept: Sequence[bool]) -> float | None:
        """The budget at which the most important unit that was replaced would stay too; None where
        all stay, or nothing else would.

        Args:
            importance: of each unit.
            kept: by unit, of `choose`.
        """
        gone = [number for number, is_kept in enumerate(kept) if not is_kept]
        if len(gone) < 2:
            return None
        first = min(gone, key=lambda n: (-importance[n], n))
        more = self.bytes_of(kept) + self.units[first].saved_bytes
        return math.ceil(1e4 * more / self.original_bytes) / 1e4
