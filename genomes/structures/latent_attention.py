"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): softmax attention whose
keys and values are linear maps of one latent vector a position, the only thing that is remembered.

The feature groups are the queries C, the latents L with the rotary key that all heads have in
common, and the two maps, which are weights and so do not depend on the input: B to the keys, V to
the values. The sizes are the paper's shares of a head width h: latents of 4 h, rotary parts of h/2.
"""

from fractions import Fraction

from ..model_config import ModelConfig, head_width
from ..operators import (
    GROUPED,
    LOW_RANK,
    SOFTMAX,
    FeatureGroup,
    Featurizer,
    LivClass,
    Structure,
)
from ..widths import head_count, inner_width


def latent_width(model: ModelConfig) -> int:
    """Width of the latents, from which keys and values are made: four heads'."""
    return 4 * head_width(model)


def rotary_width(model: ModelConfig) -> int:
    """Width of the key that all heads share, and of what each query has for it: half a head's."""
    return head_width(model) // 2


def _remembered(model: ModelConfig) -> int:
    """Elements that a position leaves."""
    return latent_width(model) + rotary_width(model)


def _queries(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    channels = inner_width(liv_class, model) + head_count(liv_class, model) * rotary_width(model)
    return model.width * channels


def _latent_projection(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return model.width * _remembered(model)


def _latents(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """The projection, and the norm of the latents."""
    return _latent_projection(group, liv_class, model) + latent_width(model)


def _map_of_latents(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    return latent_width(model) * inner_width(liv_class, model)


def _nothing(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """The maps are applied where they are used, borrowed ones too: `_products` counts that."""
    return 0


def _cache(liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int) -> int:
    return 0 if "L" in borrowed else context * _remembered(model)


def _products(
    liv_class: LivClass, borrowed: tuple[str, ...], model: ModelConfig, context: int
) -> int:
    """As generation computes it, with the maps absorbed (section 2.1.2): that of the keys is
    applied to the query, that of the values to the weighted latents, for one position each."""
    maps = 2 * latent_width(model) * inner_width(liv_class, model)
    seen = context * (_remembered(model) + latent_width(model))
    return maps + head_count(liv_class, model) * seen


GROUPS = (
    FeatureGroup("C", "latent_queries"),
    FeatureGroup("L", "latents"),
    FeatureGroup("B", "map_of_latents"),
    FeatureGroup("V", "map_of_latents"),
)

STRUCTURE = Structure(
    "latent attention",
    LOW_RANK,
    GROUPED,
    groups=("C", "L", "B", "V"),
    sharing={2: ("L", "B", "V"), 3: ("L",), 4: ("B", "V"), 5: ("C",)},
    featurizers={
        31: Featurizer(GROUPS),
        32: Featurizer(GROUPS, rotary=Fraction(0)),  # without positions, as in Kimi Linear
    },
    cache=_cache,
    forms={
        "latent_queries": _queries,
        "latents": _latents,
        "map_of_latents": _map_of_latents,
    },
    products=_products,
    form_products={
        "latent_queries": _queries,
        "latents": _latent_projection,
        "map_of_latents": _nothing,
    },
    input_free=("B", "V"),
    nonlinearities=(SOFTMAX,),
    differential=False,
    inner="attention_width",
)
