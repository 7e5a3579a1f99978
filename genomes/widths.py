"""Every width that a class has at a model width: the one place with such arithmetic."""

from math import ceil

from .errors import GenomeError
from .model_config import head_width
from .operators import FeatureGroup, LivClass


def group_width(group: FeatureGroup, width: int) -> int:
    """Channels of a projected feature group before `repeat`; an expansion above 1 is rounded up to
    8."""
    if group.channels is not None:
        return group.channels
    exact = group.expansion * width
    return 8 * ceil(exact / 8) if group.expansion > 1 else int(exact)


def inner_width(liv_class: LivClass, width: int) -> int:
    """Channels of T applied to V, the input of the output projection."""
    value = liv_class.operator.group("V")
    return group_width(value, width) * value.repeat


def head_count(liv_class: LivClass, width: int) -> int:
    """Heads of T applied to V."""
    return inner_width(liv_class, width) // head_width(width)


def operator_copies(liv_class: LivClass, group: str) -> int:
    """How many operators need this group at full width: 2 for the paired groups of a differential
    class."""
    return 2 if liv_class.differential and group in liv_class.operator.structure.paired else 1


def lambda_width(liv_class: LivClass, width: int) -> int:
    """Width of the four vectors that parametrise lambda (arXiv 2410.05258); 0 for plain classes.

    It is the head width of one operator: half a head where the two operators of a differential
    class split the heads, because none of the groups is paired.
    """
    if not liv_class.differential:
        return 0
    return head_width(width) // (1 if liv_class.operator.structure.paired else 2)


def check_repeat(liv_class: LivClass, width: int) -> None:
    """Raise `GenomeError` when grouped heads cannot be repeated evenly at this width."""
    repeats = max(group.repeat for group in liv_class.operator.groups)
    heads = width // head_width(width)
    if heads % repeats:
        raise GenomeError(
            f"a model width of {width} gives {heads} heads, but {liv_class.name} repeats keys and "
            f"values x{repeats}: "
            f"expected a width with a multiple of {repeats} heads of width {head_width(width)}"
        )
