"""Every width that a class has at a model width: the one place with such arithmetic."""

from math import ceil

from .errors import GenomeError
from .model_config import ModelConfig, head_width
from .operators import GROUPED, FeatureGroup, LivClass

RECURRENT = "recurrent_width"  # what recurrences have for `Structure.inner`


def group_width(group: FeatureGroup, liv_class: LivClass, model: ModelConfig) -> int:
    """Channels of a projected feature group before `repeat`; an expansion above 1 is rounded up to
    8. Where the structure's width is given, the share of it that V's copies leave."""
    if group.channels is not None:
        return group.channels * (head_groups(model) if group.grouped else 1)
    inner = model.given.get(liv_class.operator.structure.inner)
    if inner is not None:
        value = liv_class.operator.group("V")
        return int(inner * group.expansion / (value.expansion * value.repeat))
    exact = group.expansion * model.width
    return 8 * ceil(exact / 8) if group.expansion > 1 else int(exact)


def head_groups(model: ModelConfig) -> int:
    """Groups of heads of a recurrence, where a group has feature groups in common."""
    return 1 if model.recurrent_groups is None else model.recurrent_groups


def inner_width(liv_class: LivClass, model: ModelConfig) -> int:
    """Channels of T applied to V, the input of the output projection."""
    value = liv_class.operator.group("V")
    return group_width(value, liv_class, model) * value.repeat


def own_head_width(liv_class: LivClass, model: ModelConfig) -> int:
    """Width of one head of a class: recurrences may have their own."""
    own = model.recurrent_head_width if liv_class.operator.structure.inner == RECURRENT else None
    return head_width(model) if own is None else own


def head_count(liv_class: LivClass, model: ModelConfig) -> int:
    """Heads of T applied to V."""
    return inner_width(liv_class, model) // own_head_width(liv_class, model)


def operator_copies(liv_class: LivClass, group: str) -> int:
    """How many operators need this group at full width: 2 for the paired groups of a differential
    class."""
    return 2 if liv_class.differential and group in liv_class.operator.structure.paired else 1


def lambda_width(liv_class: LivClass, model: ModelConfig) -> int:
    """Width of the four vectors that parametrise lambda (arXiv 2410.05258); 0 for plain classes.

    It is the head width of one operator: half a head where the two operators of a differential
    class split the heads, because none of the groups is paired.
    """
    if not liv_class.differential:
        return 0
    return own_head_width(liv_class, model) // (1 if liv_class.operator.structure.paired else 2)


def fits(liv_class: LivClass, model: ModelConfig) -> bool:
    """Whether a class can be built at these sizes (`check_heads`)."""
    try:
        check_heads(liv_class, model)
    except GenomeError:
        return False
    return True


def check_heads(liv_class: LivClass, model: ModelConfig) -> None:
    """Raise `GenomeError` when the channels are not whole heads at these sizes, or heads cannot be
    repeated evenly."""
    operator = liv_class.operator
    if operator.channel_mixing != GROUPED:
        return
    channels, one = inner_width(liv_class, model), own_head_width(liv_class, model)
    if channels % one:
        raise GenomeError(
            f"{liv_class.name} has {channels} channels, which are no whole number of heads of "
            f"width {one}; set model.head_width or the width of its channels to sizes that fit"
        )
    repeats = max(group.repeat for group in operator.groups)
    heads = channels // one
    if heads % repeats:
        raise GenomeError(
            f"a model width of {model.width} gives {heads} heads, but {liv_class.name} repeats "
            f"keys and values x{repeats}: "
            f"expected a width with a multiple of {repeats} heads of width {one}"
        )
    if any(group.grouped for group in operator.groups) and heads % head_groups(model):
        raise GenomeError(
            f"model.recurrent_groups={head_groups(model)}: {liv_class.name} has {heads} heads, "
            "expected a number of groups that divides them"
        )
