"""LIVs and whole models against Hugging Face `transformers` with the same weights.

Every test builds a tiny random module of theirs, copies its weights into ours and compares outputs
in float32. Nobody's module is our linear attention (class 18), so its oracle is the recurrence in
float64, written here.

Where ours differs on purpose
-----------------------------

| theirs                                             | ours                              | in these
tests         |
|----------------------------------------------------|-----------------------------------|------------------------|
| LFM2: RMSNorm on each head of queries and keys     | none                              | theirs
become Identity | | DiffLlama: heads h and h + H/2 form a pair         | halves of one head's
channels     | `halves_to_pairs`      | | DiffLlama: lambda's initial value counts layers    |
counts pairs of LIVs              | `layer_idx=index // 2` | | DiffLlama: head-wise norm has the
model's epsilon  | 1e-5, whatever `norm_eps` is      | 1e-5, their default    | | Mamba: inner width
is twice the model width        | the model width                   | `expand=1`             | | any
width of the feed-forward                      | 8/3 of the width, rounded up to 8 | theirs takes
ours      | | RMSNorm's epsilon and the rotations' base by model | `norm_eps`, `rope_base`
| one value for both     |
"""

import math
from typing import Any, TypeVar

import pytest
import torch
from torch import nn
from transformers import (
    DiffLlamaConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3NextConfig,
)
from transformers.models.diffllama.modeling_diffllama import DiffLlamaAttention
from transformers.models.lfm2.modeling_lfm2 import Lfm2Attention, Lfm2MLP, Lfm2ShortConv
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRotaryEmbedding
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mistral.modeling_mistral import MistralAttention, MistralMLP
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

from star.genomes import Genome, ModelConfig
from star.models import LanguageModel, decode
from star.models.language_model import LivModule

RELATIVE = 1e-4
# Of the largest output, for elements near zero; over 12 seeds LIVs need 7e-7, whole models 3e-6.
ABSOLUTE = 1e-5
VOCABULARY = 48
ROPE_BASE = (
    500.0  # nobody's default, and low enough that every channel turns within the lengths here
)
NORM_EPS = 0.01  # large enough to show
HIDDEN = {64: 176, 512: 1368}  # 8/3 of the width, rounded up to 8
HEADS = {64: 4, 512: 8}

Weights = dict[str, torch.Tensor]
Module = TypeVar("Module", bound=nn.Module)
lengths = pytest.mark.parametrize("length", [1, 5, 37])
widths = pytest.mark.parametrize("width", [64, 512])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def disturb(module: Module) -> Module:
    """Add noise to every parameter, so that norms, biases, rates and skips are no special values
    either."""
    with torch.no_grad():
        for parameter in module.parameters():
            std = min(0.5, 1.6 * parameter.shape[-1] ** -0.5)
            parameter.add_(std * torch.randn_like(parameter))
    return module.eval()


def backbone(*classes: int, **sizes: Any) -> LanguageModel:
    """A decoded model of the given classes without sharing, disturbed."""
    genome = Genome.from_text("-".join(f"{liv_class}.1.1.1.1" for liv_class in classes), "extended")
    return disturb(
        decode(
            genome,
            ModelConfig(vocabulary=VOCABULARY, rope_base=ROPE_BASE, norm_eps=NORM_EPS, **sizes),
        )
    )


def tokens(length: int) -> torch.Tensor:
    return torch.randint(
        0, VOCABULARY, (2, length), generator=torch.Generator().manual_seed(length)
    )


def transplant(
    liv: LivModule, theirs: nn.Module, weights: Weights, norm: nn.Module | None = None
) -> None:
    """Load all weights of a module of theirs, each once, into all of a LIV's; `norm` is theirs, or
    ours stays."""
    assert sum(w.numel() for w in weights.values()) == sum(p.numel() for p in theirs.parameters())
    before = liv.norm if norm is None else norm
    liv.load_state_dict({**weights, "norm.weight": before.get_parameter("weight")})


def projections(output: nn.Linear, **groups: nn.Linear) -> Weights:
    """Weights of a LIV whose feature groups are plain projections."""
    weights: Weights = {
        f"featurizer.groups.{name}.0.projection.weight": layer.weight
        for name, layer in groups.items()
    }
    return {**weights, "output.weight": output.weight}


def attention_weights(theirs: LlamaAttention | MistralAttention | Lfm2Attention) -> Weights:
    output = theirs.out_proj if isinstance(theirs, Lfm2Attention) else theirs.o_proj
    return projections(output, C=theirs.q_proj, B=theirs.k_proj, V=theirs.v_proj)


def feed_forward_weights(theirs: LlamaMLP | MistralMLP | Lfm2MLP) -> Weights:
    if isinstance(theirs, Lfm2MLP):
        return projections(theirs.w2, C=theirs.w1, V=theirs.w3)
    return projections(theirs.down_proj, C=theirs.gate_proj, V=theirs.up_proj)


def short_convolution_weights(theirs: Lfm2ShortConv) -> Weights:
    inputs = dict(zip("BCV", theirs.in_proj.weight.chunk(3), strict=True))
    weights = {
        f"featurizer.groups.{name}.0.projection.weight": weight for name, weight in inputs.items()
    }
    return {
        **weights,
        "featurizer.groups.K.0.weight": theirs.conv.weight[:, 0],
        "output.weight": theirs.out_proj.weight,
    }


def mamba_weights(theirs: MambaMixer) -> Weights:
    value, gate = theirs.in_proj.weight.chunk(2)
    sizes = [theirs.time_step_rank, theirs.ssm_state_size, theirs.ssm_state_size]
    step, b, c = theirs.x_proj.weight.split(sizes)
    convolution_bias = theirs.conv1d.bias
    assert convolution_bias is not None
    return {
        "featurizer.groups.V.0.projection.weight": value,
        "featurizer.groups.V.0.convolution.weight": theirs.conv1d.weight[:, 0],
        "featurizer.groups.V.0.convolution.bias": convolution_bias,
        "featurizer.groups.G.0.projection.weight": gate,
        "featurizer.groups.A.0.down.weight": step,
        "featurizer.groups.A.0.up.weight": theirs.dt_proj.weight,
        "featurizer.groups.A.0.up.bias": theirs.dt_proj.bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "featurizer.groups.B.0.projection.weight": b,
        "featurizer.groups.C.0.projection.weight": c,
        "structure.skip": theirs.D,
        "output.weight": theirs.out_proj.weight,
    }


def gated_delta_weights(theirs: Qwen3NextGatedDeltaNet) -> Weights:
    """Theirs keeps queries, keys, values and gate of a head side by side; the convolution has all
    queries first."""
    heads, head_width = theirs.num_v_heads, theirs.head_v_dim
    by_head = theirs.in_proj_qkvz.weight.unflatten(0, (heads, 4, head_width))
    inputs = {name: by_head[:, n].flatten(0, 1) for n, name in enumerate("CBVG")}
    beta, step = theirs.in_proj_ba.weight.unflatten(0, (heads, 2)).unbind(1)
    taps = dict(zip("CBV", theirs.conv1d.weight[:, 0].chunk(3), strict=True))
    return {
        **{
            f"featurizer.groups.{name}.0.projection.weight": weight
            for name, weight in inputs.items()
        },
        **{
            f"featurizer.groups.{name}.0.convolution.weight": weight
            for name, weight in taps.items()
        },
        "featurizer.groups.A.0.beta.weight": beta,
        "featurizer.groups.A.0.step.weight": step,
        "featurizer.groups.A.0.step.bias": theirs.dt_bias,
        "featurizer.groups.A.0.log_rate": theirs.A_log,
        "structure.norm": theirs.norm.weight,
        "output.weight": theirs.out_proj.weight,
    }


def halves_to_pairs(weight: torch.Tensor, head_width: int) -> torch.Tensor:
    """Rows (half, head, channel) of theirs to (head, half, channel): heads h and h + H/2 become one
    head of ours."""
    return weight.unflatten(0, (2, -1, head_width)).transpose(0, 1).flatten(0, 2)


def differential_weights(theirs: DiffLlamaAttention) -> Weights:
    inputs = {"C": theirs.q_proj, "B": theirs.k_proj, "V": theirs.v_proj}
    paired: Weights = {
        f"featurizer.groups.{name}.0.projection.weight": halves_to_pairs(
            layer.weight, theirs.head_dim
        )
        for name, layer in inputs.items()
    }
    vectors = (theirs.lambda_q1, theirs.lambda_k1, theirs.lambda_q2, theirs.lambda_k2)
    return {
        **paired,
        "structure.differential_weight.vectors": torch.stack(vectors),
        "output.weight": theirs.o_proj.weight,
    }


def traced(model: LanguageModel, index: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The normalised input of one LIV and its residual update, while the whole model runs."""
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen.append(output)

    liv = model.livs[index]
    hooks = [part.register_forward_hook(keep) for part in (liv.norm, liv.output)]
    model(tokens(length))
    for hook in hooks:
        hook.remove()
    normalised, update = seen
    return normalised, update


def check(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to rounding, and large enough for that to mean something."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert expected.std() > 0.1
    torch.testing.assert_close(
        found, expected, rtol=RELATIVE, atol=ABSOLUTE * float(expected.abs().max())
    )


def attention_sizes(width: int, heads: int, **sizes: Any) -> dict[str, Any]:
    """Keyword arguments of a configuration of theirs."""
    rotations = {"rope_type": "default", "rope_theta": ROPE_BASE}
    return {
        "hidden_size": width,
        "num_attention_heads": heads,
        "rope_parameters": rotations,
        "attn_implementation": "eager",
        **sizes,
    }


def attend(theirs: LlamaAttention | DiffLlamaAttention, x: torch.Tensor) -> torch.Tensor:
    """Causal attention of theirs on x (batch, length, width), positions from 0."""
    length = x.shape[1]
    rotations = LlamaRotaryEmbedding(LlamaConfig(**attention_sizes(theirs.head_dim, heads=1)))
    mask = torch.full((length, length), -math.inf).triu(1)[None, None]
    return theirs(x, rotations(x, torch.arange(length)[None]), mask)[0]


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize(("liv_class", "repeats"), [(1, 1), (3, 4), (4, 2)])
def test_softmax_attention_is_llamas(liv_class: int, repeats: int, width: int, length: int) -> None:
    heads = HEADS[width]
    sizes = attention_sizes(width, heads, num_key_value_heads=heads // repeats)
    theirs = disturb(LlamaAttention(LlamaConfig(**sizes), layer_idx=0))
    model = backbone(liv_class, width=width)
    transplant(model.livs[0], theirs, attention_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, attend(theirs, x))


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize("index", [0, 1, 2, 5])
@pytest.mark.parametrize(("liv_class", "repeats"), [(10, 1), (12, 4), (13, 2)])
def test_differential_attention_is_diffllamas(
    liv_class: int, repeats: int, index: int, width: int, length: int
) -> None:
    heads = 2 * HEADS[width]
    sizes = attention_sizes(width, heads, num_key_value_heads=heads // repeats)
    theirs = disturb(DiffLlamaAttention(DiffLlamaConfig(**sizes), layer_idx=index // 2))
    theirs.v_proj.weight.mul_(0.01)  # so small that the epsilon of the head-wise norm shows
    model = backbone(*[liv_class] * 6, width=width)
    transplant(model.livs[index], theirs, differential_weights(theirs))
    x, found = traced(model, index, length)
    check(found, attend(theirs, x))


@torch.no_grad()
@lengths
@widths
def test_gated_short_convolution_is_lfm2s(width: int, length: int) -> None:
    config = Lfm2Config(
        hidden_size=width,
        layer_types=["conv"],
        num_hidden_layers=1,
        conv_L_cache=3,
        conv_bias=False,
    )
    theirs = disturb(Lfm2ShortConv(config, layer_idx=0))
    model = backbone(7, width=width)
    transplant(model.livs[0], theirs, short_convolution_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


@torch.no_grad()
@lengths
@widths
def test_gated_feed_forward_is_llamas(width: int, length: int) -> None:
    theirs = disturb(LlamaMLP(LlamaConfig(hidden_size=width, intermediate_size=HIDDEN[width])))
    model = backbone(9, width=width)
    transplant(model.livs[0], theirs, feed_forward_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize(("liv_class", "state"), [(5, 16), (6, 2)])
def test_selective_state_space_is_mambas(
    liv_class: int, state: int, width: int, length: int
) -> None:
    config = MambaConfig(
        hidden_size=width, expand=1, state_size=state, conv_kernel=4, time_step_rank=width // 16
    )
    theirs = disturb(MambaMixer(config, layer_idx=0))
    model = backbone(liv_class, width=width)
    transplant(model.livs[0], theirs, mamba_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


def model_sizes(width: int, **sizes: Any) -> dict[str, Any]:
    """Keyword arguments of a configuration of a whole transformer of theirs."""
    common = {
        "vocab_size": VOCABULARY,
        "intermediate_size": HIDDEN[width],
        "tie_word_embeddings": True,
    }
    return attention_sizes(width, HEADS[width], **common, **sizes)


def transplant_ends(ours: LanguageModel, embedding: nn.Module, norm: nn.Module) -> None:
    """The embedding, which is the head too, and the final norm."""
    ours.embedding.load_state_dict(embedding.state_dict())
    ours.norm.load_state_dict(norm.state_dict())


def transplant_transformer(
    ours: LanguageModel, theirs: LlamaForCausalLM | MistralForCausalLM
) -> None:
    """Each layer of theirs into two LIVs."""
    transplant_ends(ours, theirs.model.embed_tokens, theirs.model.norm)
    layers: list[Any] = list(theirs.model.layers)
    for layer, attention, feed_forward in zip(layers, ours.livs[::2], ours.livs[1::2], strict=True):
        transplant(
            attention, layer.self_attn, attention_weights(layer.self_attn), layer.input_layernorm
        )
        transplant(
            feed_forward, layer.mlp, feed_forward_weights(layer.mlp), layer.post_attention_layernorm
        )


@torch.no_grad()
@lengths
@widths
def test_attention_and_feed_forward_in_turn_are_a_llama(width: int, length: int) -> None:
    sizes = model_sizes(width, num_hidden_layers=3, rms_norm_eps=NORM_EPS)
    theirs = disturb(LlamaForCausalLM(LlamaConfig(**sizes)))
    ours = backbone(*[1, 9] * 3, width=width)
    transplant_transformer(ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


@torch.no_grad()
@lengths
@pytest.mark.parametrize("window", [1, 6])
def test_banded_attention_and_feed_forward_in_turn_are_a_mistral(window: int, length: int) -> None:
    sizes = model_sizes(
        64, num_hidden_layers=3, num_key_value_heads=1, sliding_window=window, rms_norm_eps=NORM_EPS
    )
    theirs = disturb(MistralForCausalLM(MistralConfig(**sizes)))
    ours = backbone(*[19, 9] * 3, width=64, window=window)
    transplant_transformer(ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


def transplant_lfm2(ours: LanguageModel, theirs: Lfm2ForCausalLM) -> None:
    """Each layer of theirs into two LIVs. Theirs loses its norms of queries and keys."""
    transplant_ends(ours, theirs.model.embed_tokens, theirs.model.embedding_norm)
    layers: list[Any] = list(theirs.model.layers)
    for layer, mixer, feed_forward in zip(layers, ours.livs[::2], ours.livs[1::2], strict=True):
        if layer.is_attention_layer:
            layer.self_attn.q_layernorm = layer.self_attn.k_layernorm = nn.Identity()
            transplant(
                mixer, layer.self_attn, attention_weights(layer.self_attn), layer.operator_norm
            )
        else:
            transplant(
                mixer, layer.conv, short_convolution_weights(layer.conv), layer.operator_norm
            )
        transplant(
            feed_forward,
            layer.feed_forward,
            feed_forward_weights(layer.feed_forward),
            layer.ffn_norm,
        )


@torch.no_grad()
@lengths
@pytest.mark.parametrize(("attention_class", "repeats"), [(3, 4), (4, 2)])
def test_short_convolutions_and_grouped_attention_are_an_lfm2(
    attention_class: int, repeats: int, length: int
) -> None:
    kinds = ["conv", "full_attention", "conv", "full_attention"]
    sizes = model_sizes(
        64, num_hidden_layers=len(kinds), num_key_value_heads=4 // repeats, norm_eps=NORM_EPS
    )
    theirs = disturb(
        Lfm2ForCausalLM(Lfm2Config(**sizes, layer_types=kinds, block_auto_adjust_ff_dim=False))
    )
    ours = backbone(*[7, 9, attention_class, 9] * 2, width=64)
    transplant_lfm2(ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


@torch.no_grad()
@lengths
def test_state_spaces_alone_are_a_mamba(length: int) -> None:
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "layer_norm_epsilon": NORM_EPS,
    }
    theirs = disturb(MambaForCausalLM(MambaConfig(**sizes, expand=1, state_size=16)))
    ours = backbone(5, 5, width=64)
    transplant_ends(ours, theirs.backbone.embeddings, theirs.backbone.norm_f)
    layers: list[Any] = list(theirs.backbone.layers)
    for liv, layer in zip(ours.livs, layers, strict=True):
        transplant(liv, layer.mixer, mamba_weights(layer.mixer), layer.norm)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


def turned(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions on x (batch, length, heads, head width): channels k and k + half as one
    complex number."""
    real, imaginary = x.chunk(2, dim=-1)
    pairs = real.shape[-1]
    frequencies = ROPE_BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.outer(torch.arange(x.shape[1], dtype=torch.float64), frequencies)[:, None]
    y = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([y.real, y.imag], dim=-1)


def linear_attention(liv: LivModule, x: torch.Tensor, heads: int) -> torch.Tensor:
    """The residual update of a linear attention for x (batch, length, width), step by step."""
    weight = {name: parameter.double() for name, parameter in liv.named_parameters()}
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPS)
    normalised = x * scale * weight["norm.weight"]
    c, b, v = (
        (normalised @ weight[f"featurizer.groups.{name}.0.projection.weight"].T).unflatten(
            -1, (heads, -1)
        )
        for name in "CBV"
    )
    c, b, width = turned(c), turned(b), v.shape[-1]
    state = x.new_zeros(x.shape[0], heads, width, width)
    outputs = []
    for t in range(x.shape[1]):
        state = state + b[:, t, :, :, None] * v[:, t, :, None, :]
        y = (c[:, t, :, :, None] * state).sum(2) / math.sqrt(width) / math.sqrt(t + 1)
        outputs.append(y.flatten(1) @ weight["output.weight"].T)
    return torch.stack(outputs, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5, 37, 150])
@widths
def test_linear_attention_is_its_recurrence(width: int, length: int) -> None:
    model = backbone(18, width=width)
    _, found = traced(model, 0, length)
    expected = linear_attention(
        model.livs[0], model.embedding.weight[tokens(length)].double(), HEADS[width]
    )
    check(found, expected.float())


@torch.no_grad()
@lengths
@widths
def test_gated_delta_is_the_gated_delta_net_of_qwen3_next(width: int, length: int) -> None:
    sizes: dict[str, Any] = {}
    for kind in ("key", "value"):
        sizes |= {
            f"linear_num_{kind}_heads": HEADS[width],
            f"linear_{kind}_head_dim": width // HEADS[width],
        }
    config = Qwen3NextConfig(
        hidden_size=width,
        rms_norm_eps=NORM_EPS,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        **sizes,
    )
    theirs = disturb(Qwen3NextGatedDeltaNet(config, layer_idx=0))
    theirs.out_proj.weight.mul_(10.0)  # a head-wise norm and a gate leave small outputs
    model = backbone(22, width=width)
    transplant(model.livs[0], theirs, gated_delta_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))
