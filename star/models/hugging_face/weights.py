"""What the mappings of all families have in common."""

import torch
from torch import nn

from ..language_model import LivModule

Weights = dict[str, torch.Tensor]  # by name in a LIV's state dict


def projections(output: nn.Linear, **groups: torch.Tensor) -> Weights:
    """Weights of a LIV whose feature groups are plain projections, (group width, width) each."""
    return {**group_projections(**groups), "output.weight": output.weight}


def group_projections(**groups: torch.Tensor) -> Weights:
    """Weights (group width, width) of feature groups that are projections, without the output's."""
    return {
        f"featurizer.groups.{name}.0.projection.weight": weight for name, weight in groups.items()
    }


def normed_projections(**norms: nn.Module) -> Weights:
    """Weights (head width,) of the norms of heads behind projections."""
    return {
        f"featurizer.groups.{name}.0.norm.weight": norm.get_parameter("weight")
        for name, norm in norms.items()
    }


def norms(before: nn.Module | None, behind: nn.Module | None = None) -> Weights:
    """Weights (width,) of the norms on either side of a module; None or an identity where there is
    none."""
    return {
        f"{name}.weight": norm.get_parameter("weight")
        for name, norm in (("norm", before), ("output_norm", behind))
        if norm is not None and not isinstance(norm, nn.Identity)
    }


def convolutions(weight: torch.Tensor, bias: torch.Tensor | None, **sizes: int) -> Weights:
    """Weights of the short convolutions behind projections, from one convolution of all of them.

    weight: (channels, 1, taps); bias: (channels,) or None; sizes: channels of each feature group,
    in the order in which theirs has them.
    """
    names = [f"featurizer.groups.{name}.0.convolution" for name in sizes]
    parts = weight[:, 0].split(list(sizes.values()))
    weights = {f"{name}.weight": part for name, part in zip(names, parts, strict=True)}
    if bias is not None:
        split = bias.split(list(sizes.values()))
        weights |= {f"{name}.bias": part for name, part in zip(names, split, strict=True)}
    return weights


def copy_liv(liv: LivModule, weights: Weights, norm: nn.Module | None = None) -> None:
    """Load weights into all of a LIV's. norm: the RMSNorm before their module; None keeps ours."""
    before = liv.norm if norm is None else norm
    liv.load_state_dict({**weights, "norm.weight": before.get_parameter("weight")})
