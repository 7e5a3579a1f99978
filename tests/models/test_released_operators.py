"""Operators of released models against their modules in Hugging Face `transformers`, whose weights
are copied, in float64."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import Lfm3Config, NemotronHConfig, Qwen3Config, Qwen3NextConfig
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.models.lfm3.modeling_lfm3 import (
    Lfm3Attention,
    Lfm3RotaryEmbedding,
    Lfm3ShortConv,
)
from transformers.models.nemotron_h.modeling_nemotron_h import NemotronHAttention
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding
from transformers.models.qwen3_next.modeling_qwen3_next import (
    Qwen3NextAttention,
    Qwen3NextRotaryEmbedding,
)

from star.genomes import Genome, ModelConfig
from star.models import decode
from star.models.hugging_face.causal_lm import CACHE
from star.models.hugging_face.weights import Weights, projections
from star.models.language_model import LivModule

WIDTH, HEADS, HEAD_WIDTH, BASE = 64, 8, 16, 300.0
LENGTH = 300  # beyond LFM3's window of 256
SIZES = ModelConfig(
    width=WIDTH, vocabulary=8, head_width=HEAD_WIDTH, attention_width=HEADS * HEAD_WIDTH,
    rope_base=BASE, norm_eps=1e-5,
)  # fmt: skip
COMMON: dict[str, Any] = {
    "hidden_size": WIDTH, "num_attention_heads": HEADS, "head_dim": HEAD_WIDTH,
    "attn_implementation": "eager",
}  # fmt: skip


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def disturbed(theirs: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3 if parameter.ndim > 1 else 0.5)
    return theirs.double().eval()


def update(class_id: int, weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """What a LIV of a class adds for a normalised input x (1, length, width)."""
    genome = Genome.from_text(f"{class_id}.1.1.1.1", "released")
    liv = decode(genome, SIZES).double().eval().livs[0]
    assert isinstance(liv, LivModule)
    liv.load_state_dict({**weights, "norm.weight": torch.ones(WIDTH)})
    features = liv.structure.prepare(liv.featurizer(x, {}, None), 0)
    return liv.output(liv.structure(features))


def attention_weights(theirs: Any, offset: float = 0.0, **gate: torch.Tensor) -> Weights:
    """offset: of the weights of the norms, which Qwen3-Next keeps without their 1."""
    weights = projections(theirs.o_proj, B=theirs.k_proj.weight, V=theirs.v_proj.weight, **gate)
    for name, norm in {"C": "q_norm", "B": "k_norm"}.items():
        if hasattr(theirs, norm):
            key = f"featurizer.groups.{name}.0.norm.weight"
            weights[key] = getattr(theirs, norm).weight + offset
    return weights


def check(class_id: int, theirs: Any, weights: Weights, call: Any) -> None:
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        expected, found = call(x), update(class_id, weights, x)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=5e-5)  # their softmax is float32


def rotations(config: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": BASE, **config}


def mask(config: Any, x: torch.Tensor, windowed: bool = False) -> torch.Tensor | None:
    make: Any = create_sliding_window_causal_mask if windowed else create_causal_mask
    return make(config, x, attention_mask=None, **{CACHE: None})


@pytest.mark.parametrize(("class_id", "repeats"), [(24, 1), (25, 2), (26, 4), (27, 8)])
def test_qk_norm_is_that_of_qwen3(class_id: int, repeats: int) -> None:
    config = Qwen3Config(
        **COMMON, num_key_value_heads=HEADS // repeats, rms_norm_eps=SIZES.norm_eps,
        rope_parameters=rotations({}),
    )  # fmt: skip
    theirs: Any = disturbed(Qwen3Attention(config, layer_idx=0))
    turn = Qwen3RotaryEmbedding(config)
    weights = attention_weights(theirs, C=theirs.q_proj.weight)
    check(
        class_id, theirs, weights,
        lambda x: theirs(x, turn(x, torch.arange(LENGTH)[None]), mask(config, x))[0],
    )  # fmt: skip


def test_a_gate_a_channel_and_a_quarter_turned_are_qwen3_nexts() -> None:
    config = Qwen3NextConfig(
        **COMMON, num_key_value_heads=1, rms_norm_eps=SIZES.norm_eps,
        rope_parameters=rotations({"partial_rotary_factor": 0.25}),
    )  # fmt: skip
    theirs: Any = disturbed(Qwen3NextAttention(config, layer_idx=0))
    turn = Qwen3NextRotaryEmbedding(config)
    queries, gate = theirs.q_proj.weight.unflatten(0, (HEADS, 2, HEAD_WIDTH)).unbind(1)
    weights = attention_weights(theirs, 1.0, C=queries.flatten(0, 1), G=gate.flatten(0, 1))
    check(
        30, theirs, weights,
        lambda x: theirs(x, turn(x, torch.arange(LENGTH)[None]), mask(config, x))[0],
    )  # fmt: skip


@pytest.mark.parametrize(("class_id", "kind"), [(31, "full_attention"), (32, "sliding_attention")])
def test_gates_a_head_and_windows_are_lfm3s(class_id: int, kind: str) -> None:
    config = Lfm3Config(
        **COMMON, num_key_value_heads=HEADS // 4, norm_eps=SIZES.norm_eps, num_hidden_layers=1,
        layer_types=[kind],
    )  # fmt: skip
    theirs: Any = disturbed(Lfm3Attention(config, layer_idx=0))
    turn = Lfm3RotaryEmbedding(config)
    weights = attention_weights(theirs, C=theirs.q_proj.weight, G=theirs.g_proj.weight)
    windowed = kind == "sliding_attention"
    check(
        class_id, theirs, weights,
        lambda x: theirs(
            x, turn(x, torch.arange(LENGTH)[None], kind), mask(config, x, windowed)
        )[0],
    )  # fmt: skip


@pytest.mark.parametrize(("class_id", "repeats"), [(28, 1), (29, 4)])
def test_attention_without_positions_is_nemotron_hs(class_id: int, repeats: int) -> None:
    config = NemotronHConfig(**COMMON, num_key_value_heads=HEADS // repeats)
    theirs: Any = disturbed(NemotronHAttention(config, layer_idx=0))
    weights = attention_weights(theirs, C=theirs.q_proj.weight)
    check(class_id, theirs, weights, lambda x: theirs(x, mask(config, x))[0])


def test_a_short_convolution_of_seven_is_lfm3s() -> None:
    config = Lfm3Config(**COMMON, num_hidden_layers=1, layer_types=["conv"])
    theirs: Any = disturbed(Lfm3ShortConv(config, layer_idx=0))
    b, c, v = theirs.in_proj.weight.chunk(3)
    weights = {
        **projections(theirs.out_proj, B=b, C=c, V=v),
        "featurizer.groups.K.0.weight": theirs.conv.weight[:, 0],
    }
    check(36, theirs, weights, theirs)
