"""Mamba-2: state-space dual heads."""

import math
from collections.abc import Sequence
from typing import Any

from star.base.errors import UserError
from star.genomes import LivClass, ModelConfig
from star.genomes.widths import head_count, head_groups, own_head_width

from .family import Family, Views, expect_known
from .mamba import ends, expands, expect_mixer, recurrent_settings, recurrent_sizes
from .weights import Weights, convolutions, norms, projections

CLASSES = {64: "SSD", 128: "SSD-128"}  # by the size of a state


def mixer_weights(theirs: Any) -> Weights:
    """Weights of a `Mamba2Mixer` or `NemotronHMamba2Mixer`, for classes SSD and SSD-128 with as
    many groups."""
    inner, states = theirs.intermediate_size, theirs.n_groups * theirs.ssm_state_size
    sizes = [inner, inner, states, states, theirs.num_heads]
    gate, value, b, c, step = theirs.in_proj.weight.split(sizes)
    return {
        **projections(theirs.out_proj, V=value, B=b, C=c, G=gate),
        **convolutions(theirs.conv1d.weight, theirs.conv1d.bias, V=inner, B=states, C=states),
        "featurizer.groups.A.0.step.weight": step,
        "featurizer.groups.A.0.step.bias": theirs.dt_bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.skip": theirs.D,
        "structure.norm": theirs.norm.weight,
    }


def _settings(classes: Sequence[LivClass], sizes: ModelConfig, context: int) -> dict[str, Any]:
    return {
        **recurrent_settings(classes, sizes),
        "num_heads": head_count(classes[0], sizes),
        "head_dim": own_head_width(classes[0], sizes),
        "n_groups": head_groups(sizes),
    }


def _read(config: Any) -> tuple[list[str], ModelConfig]:
    expect_mixer(config)
    name = expect_known("state_size", config.state_size, CLASSES)
    limit = tuple(config.time_step_limit)
    if limit != (0, math.inf):
        raise UserError(f"time_step_limit={limit}: expected (0, inf), which is none")
    groups = {"recurrent_head_width": config.head_dim, "recurrent_groups": config.n_groups}
    sizes = recurrent_sizes(config, **groups)
    return [name] * config.num_hidden_layers, sizes


def _views(theirs: Any) -> Views:
    for layer in theirs.backbone.layers:
        yield {**mixer_weights(layer.mixer), **norms(layer.norm)}


MAMBA2 = Family(
    "Mamba-2",
    "Mamba2",
    tuple([(name,)] for name in CLASSES.values()),
    _settings,
    _read,
    _views,
    ends,
    expands,
)
