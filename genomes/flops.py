"""Floating-point operations of a genome for one token of generation, without building the model.

The rule: two for every multiply-add of a linear map, once a token. That is every matrix (those of
features that are borrowed are not applied again, tied ones are), every tap of a short convolution,
T applied to V as its structure counts it (`Structure.products`), and the head. Not counted are the
look-up of the embedding, biases, norms, nonlinearities, gates, rotations, residual sums, and what
follows from the weights alone, such as implicit kernels. torch's `FlopCounterMode` counts matrices
and attention by the same rule; a test compares the two on decoded models.
"""

from .costs import check_fits
from .errors import GenomeError
from .genome import Genome
from .model_config import ModelConfig
from .operators import PROJECTION, FeatureGroup, LivClass
from .sharing import LivSharing
from .widths import group_width, inner_width, operator_copies


def _group_products(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Multiply-adds of one feature group, for all operators that need their own."""
    if group.form == PROJECTION:
        channels = group_width(group, liv_class, model)
        count = channels * (model.width + group.kernel_length)
    else:
        count = liv_class.operator.structure.form_products[group.form](group, liv_class, model)
    return operator_copies(liv_class, group.name) * count


def _liv_products(
    liv_class: LivClass, sharing: LivSharing, model: ModelConfig, context: int
) -> int:
    """Multiply-adds of one LIV. Raises `GenomeError` where its structure has not counted them."""
    structure = liv_class.operator.structure
    made = [group for group in liv_class.operator.groups if group.name not in sharing.borrowed]
    uncounted = {group.form for group in made} - {PROJECTION, *structure.form_products}
    if structure.products is None or uncounted:
        lacking = f"form_products[{min(uncounted)!r}]" if structure.products else "products="
        raise GenomeError(
            f"structure {structure.name!r}: its multiply-adds are not known, so that FLOPs cannot "
            f"be counted; give its Structure {lacking}"
        )
    features = sum(_group_products(group, liv_class, model) for group in made)
    mixing = structure.products(liv_class, sharing.borrowed, model, context)
    return features + mixing + inner_width(liv_class, model) * model.width


def flops_per_token(genome: Genome, model: ModelConfig, context: int = 4096) -> int:
    """Floating-point operations that generation needs for the last token of a context.

    Args:
        genome: the backbone.
        model: its sizes.
        context: positions that the token sees, itself included.

    Raises:
        GenomeError: for an invalid genome, a width it cannot have, or a structure of a user's own
            that does not say its multiply-adds.
    """
    model = check_fits(genome, model)
    if genome.alphabet.hybrid is not None:
        return 2 * genome.alphabet.hybrid.products(genome, context)
    return 2 * (sum(liv_products(genome, model, context)) + model.vocabulary * model.width)


def liv_products(genome: Genome, model: ModelConfig, context: int) -> tuple[int, ...]:
    """Multiply-adds of each LIV; arguments and errors as `flops_per_token`."""
    livs = zip(genome.classes(), genome.sharing, strict=True)
    return tuple(_liv_products(*liv, model, context) for liv in livs)
