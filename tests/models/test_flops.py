"""FLOPs counted from the genome are those that torch's counter sees in a step of generation."""

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from star.genomes import (
    NOT_SHARED,
    Genome,
    Liv,
    LivClass,
    ModelConfig,
    flops_per_token,
    get_alphabet,
    load_genome,
)
from star.genomes.model_config import head_width
from star.genomes.structures.low_rank import is_linear, owns_sum
from star.genomes.widths import group_width
from star.models import Cache, LanguageModel, decode
from star.models.structures.low_rank import LowRank
from star.testing.structures import MODEL, sizes_of

CONTEXT = 23
RELEASED, LETTERS = get_alphabet("released"), get_alphabet("released+operators")
aten = torch.ops.aten


@pytest.fixture(autouse=True)
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter sees operations of torch, not those within operators of ours."""
    monkeypatch.setenv("STAR_KERNELS", "reference")


def elementwise(model: LanguageModel) -> set[int]:
    """Elements of what is multiplied without a product of matrices, which the counter knows: one
    operator's running state, and the taps of each short convolution."""
    states = (
        math.prod(shape[1:])
        for liv in model.livs
        for shape in liv.structure.state_shapes().values()
        if not isinstance(liv.structure, LowRank)
    )
    kernels = (p for name, p in model.named_parameters() if "K.0" in name or "convolution" in name)
    return {*states, *(kernel.numel() for kernel in kernels if kernel.ndim == 2)}


def counted(genome: Genome, sizes: ModelConfig) -> int:
    """FLOPs of the step at the last position of the context, by torch's counter."""
    torch.manual_seed(0)
    model = decode(genome, sizes).eval().requires_grad_(False)
    cache, elements = Cache.allocate(model, 1, CONTEXT), elementwise(model)

    def multiply(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
        size = math.prod(out_shape)
        return 2 * size if size in elements else 0

    products = dict.fromkeys((aten.mul, aten.mul_, aten.addcmul, aten.addcmul_), multiply)
    tokens = torch.zeros(1, CONTEXT, dtype=torch.int64)
    model.prefill(tokens[:, :-1], cache)
    with FlopCounterMode(display=False, custom_mapping=products) as counter:
        model.step(tokens[:, -1], cache)
    return counter.get_total_flops()


def beyond(genome: Genome) -> int:
    """What linear attention does beside the rule: its definition takes the present position apart,
    `(C B) V + C S`, and one that borrows a sum adds to a copy what the owner has added already."""
    flops = 0
    for liv_class, sharing in zip(genome.classes(), genome.sharing, strict=True):
        operator = liv_class.operator
        if operator.structure.name == "low-rank" and is_linear(operator):
            copied = 0 if owns_sum(sharing.borrowed) else head_width(MODEL)
            flops += 2 * (
                2 * MODEL.width + group_width(operator.group("B"), liv_class, MODEL) * copied
            )
    return flops


NAMED = [pytest.param(c, id=c.name) for c in RELEASED.classes]
OTHERS = [
    pytest.param(c, id=c.name, marks=pytest.mark.slow)
    for c in LETTERS.classes
    if c.id not in RELEASED.ids
]


@pytest.mark.parametrize("liv_class", [*NAMED, *OTHERS])
def test_every_class_is_counted_as_torch_counts_it(liv_class: LivClass) -> None:
    """Under every sharing for those of the alphabet `released`."""
    sharing = liv_class.operator.structure.sharing if liv_class.id in RELEASED.ids else ()
    for shared in (NOT_SHARED, *sharing):
        tied = 1 if shared == NOT_SHARED else 2  # tied weights are applied again
        genome = Genome(tuple(Liv(liv_class.id, 1, tied, 1, shared) for _ in range(2)), LETTERS)
        expected = counted(genome, sizes_of(genome)) - beyond(genome)
        assert flops_per_token(genome, sizes_of(genome), CONTEXT) == expected, genome


@pytest.mark.parametrize("design", ["transformer_pp", "lfm2", "mamba"])
def test_designs_are_counted_as_torch_counts_them(design: str) -> None:
    genome = load_genome(design, 8)[0]
    untied = ModelConfig(width=64, vocabulary=100, tie_embeddings=False)
    assert flops_per_token(genome, untied, CONTEXT) == counted(genome, untied)


def test_a_transformer_costs_two_for_a_parameter_and_four_for_a_channel_and_position() -> None:
    """The usual estimate (arXiv 2001.08361, table 1): 2 N + 2 n_layer n_ctx d_attn, in FLOPs twice
    that for the scores and the values."""
    genome, model = load_genome("transformer_pp", 8)[0], ModelConfig(width=64)
    matrices = sum(p.numel() for p in decode(genome, model).parameters() if p.ndim == 2)
    attention = 4 * 4 * 1000 * 64  # four of its eight LIVs are attention
    assert flops_per_token(genome, model, 1000) == 2 * matrices + attention
