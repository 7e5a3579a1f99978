"""Families: classes of causal language models that transformers has and some genomes are.

A family knows its configuration both ways, and views of its weights by our names: through them
weights of ours are written into a model of theirs (`star.export`) and of theirs into one of ours
(`star.adopt`). One file a family says how; `native` has them all.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from star.base.errors import UserError, shown
from star.genomes import Genome, LivClass, ModelConfig

from .weights import Weights

Views = Iterator[Weights]  # weights of theirs by our names, a LIV
Layer = tuple[str, ...]  # names of the classes that one layer of theirs is
NO_TOKENS = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}


def all_fit(sizes: ModelConfig) -> bool:
    """Every size can be had."""
    return True


def unscaled(sizes: ModelConfig) -> bool:
    """Rotary positions are not scaled."""
    return sizes.rope_factor == 1


@dataclass(frozen=True)
class Family:
    """A class of theirs that some genomes are.

    Attributes:
        name: as messages have it.
        prefix: of its classes: `Lfm2` of `Lfm2Config` and `Lfm2ForCausalLM`.
        designs: of one design are the genomes whose layers are all among its own, in any order.
        settings: of a configuration of theirs; from classes, sizes and the most positions.
        read: the classes' names and the sizes of a configuration of theirs, every width given.
            Raises `UserError` for a value that no genome has: its key, itself, what was expected.
        views: where weights are, LIV for LIV.
        ends: where embedding and final norm are.
        fits: whether there is a configuration of these sizes.
        required: sets of names of classes, of each of which one is there: a cache of transformers
            counts positions by its attention.
        norms: where there can be norms (`ModelConfig.norms`).
    """

    name: str
    prefix: str
    designs: tuple[Collection[Layer], ...]
    settings: Callable[[Sequence[LivClass], ModelConfig, int], dict[str, Any]]
    read: Callable[[Any], tuple[list[str], ModelConfig]]
    views: Callable[[Any], Views]
    ends: Callable[[Any], tuple[nn.Module, nn.Module]]
    fits: Callable[[ModelConfig], bool] = all_fit
    required: tuple[Collection[str], ...] = ()
    norms: Collection[str] = ("pre",)

    def holds(self, genome: Genome, sizes: ModelConfig) -> bool:
        """Whether a genome is of this family at these sizes; none is that shares anything."""
        shares = any(
            sharing.borrowed or sharing.tied(index)
            for index, sharing in enumerate(genome.canonical().sharing)
        )
        names, sizes = [liv_class.name for liv_class in genome.classes()], genome.sizes(sizes)
        is_made_of = any(_is_made_of(names, design) for design in self.designs)
        is_plain = sizes.norms in self.norms and sizes.residual_scale == 1 and not shares
        return is_made_of and is_plain and self.has_required(names) and self.fits(sizes)

    def has_required(self, names: Collection[str]) -> bool:
        """Whether the classes are there that must be."""
        return not any(set(names).isdisjoint(required) for required in self.required)

    def class_of(self, what: str) -> Any:
        """Their class `Config` or `ForCausalLM`; None with a transformers that lacks it."""
        import transformers

        return getattr(transformers, self.prefix + what, None)

    def configuration(self, classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> Any:
        """A configuration of theirs. context: the most positions."""
        return self.class_of("Config")(**NO_TOKENS, **self.settings(classes, sizes, context))


def _is_made_of(names: Sequence[str], design: Collection[Layer]) -> bool:
    length = len(next(iter(design)))
    layers = [tuple(names[start : start + length]) for start in range(0, len(names), length)]
    return all(layer in design for layer in layers)


def expect_values(config: Any, **expected: Any) -> None:
    """Raise `UserError` for the first value of a configuration that is another one than the only
    one that genomes have. What a configuration lacks has that value."""
    for key, value in expected.items():
        found = getattr(config, key, value)
        if found != value:
            raise UserError(f"{key}={shown(repr(found))}: expected {value!r}")


def expect_known(key: str, found: Any, names: Mapping[Any, str]) -> str:
    """The class of a value. Raises `UserError` for one that has none."""
    if found not in names:
        known = ", ".join(map(str, names))
        raise UserError(f"{key}={shown(str(found))}: expected one of {known}")
    return names[found]


def key_heads(config: Any, names: Mapping[int, str]) -> str:
    """The class of an attention, by the query heads to a head of keys and values."""
    heads, keys = config.num_attention_heads, config.num_key_value_heads
    both = f"num_attention_heads={heads} and num_key_value_heads"
    if not keys or heads % keys or heads // keys not in names:
        repeats = ", ".join(map(str, names))
        raise UserError(f"{both}={keys}: expected {repeats} query heads to a head of keys")
    return names[heads // keys]


# Types of rotary positions, and the sizes of ours by what their parameters are called.
ROTATIONS: dict[str, dict[str, str]] = {
    "default": {},
    "linear": {"rope_factor": "factor"},
    "llama3": {
        "rope_factor": "factor",
        "rope_original_positions": "original_max_position_embeddings",
        "rope_low_factor": "low_freq_factor",
        "rope_high_factor": "high_freq_factor",
    },
}


def rotary_parameters(sizes: ModelConfig) -> dict[str, Any]:
    """`rope_parameters` of a configuration: plain or scaled rotary positions."""
    scaled = "linear" if sizes.rope_original_positions is None else "llama3"
    kind = "default" if sizes.rope_factor == 1 else scaled
    scaling = {theirs: getattr(sizes, ours) for ours, theirs in ROTATIONS[kind].items()}
    return {"rope_type": kind, "rope_theta": sizes.rope_base, **scaling}


def rotary_sizes(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes by name of `rope_parameters`. Raises `UserError` for partial ones, or scaled ones of
    other types."""
    kind, share = parameters.get("rope_type", "default"), parameters.get("partial_rotary_factor", 1)
    if kind not in ROTATIONS:
        known = ", ".join(ROTATIONS)
        raise UserError(f"rope_parameters.rope_type={shown(repr(kind))}: expected one of {known}")
    if share != 1:
        raise UserError(f"rope_parameters.partial_rotary_factor={shown(repr(share))}: expected 1")
    scaling = {ours: float(parameters[theirs]) for ours, theirs in ROTATIONS[kind].items()}
    if scaling.get("rope_factor") == 1:  # which scales nothing
        scaling = {}
    if "rope_original_positions" in scaling:
        scaling["rope_original_positions"] = int(scaling["rope_original_positions"])
    return {"rope_base": float(parameters["rope_theta"]), **scaling}
