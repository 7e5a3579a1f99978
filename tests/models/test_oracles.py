"""LIVs and whole models against Hugging Face `transformers` with the same weights.

Every test builds a tiny random module of theirs, copies its weights into ours
(`star.models.hugging_face`, which says where ours differs on purpose) and compares outputs in
float32. Nobody's module is our linear attention (class 18), so its oracle is the recurrence in
float64, written here.
"""

import math
from typing import Any, TypeVar

import pytest
import torch
from torch import nn
from transformers import (
    DeepseekV3Config,
    DiffLlamaConfig,
    KimiLinearConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    NemotronHConfig,
    OlmoHybridConfig,
    Qwen3NextConfig,
)
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention
from transformers.models.diffllama.modeling_diffllama import DiffLlamaAttention
from transformers.models.kimi_linear.modeling_kimi_linear import (
    KimiLinearAttention,
    KimiLinearDeltaAttention,
)
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRotaryEmbedding
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.nemotron_h.modeling_nemotron_h import (
    NemotronHMamba2Mixer,
    NemotronHMLP,
)
from transformers.models.olmo_hybrid.modeling_olmo_hybrid import (
    OlmoHybridAttention,
    OlmoHybridGatedDeltaNet,
)
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

from star.genomes import CacheSetting, Genome, ModelConfig, liv_cache_bytes, parameter_count
from star.models import LanguageModel, decode
from star.models.hugging_face import (
    deepseek_v3,
    diffllama,
    kimi_linear,
    lfm2,
    llama,
    mamba,
    mamba2,
    nemotron_h,
    olmo_hybrid,
    qwen3_next,
)
from star.models.hugging_face.native import copy_theirs
from star.models.hugging_face.weights import Weights, copy_liv
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
    genome = Genome.from_text("-".join(f"{liv_class}.1.1.1.1" for liv_class in classes), "released")
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


def transplant(liv: LivModule, theirs: nn.Module, weights: Weights) -> None:
    """Load all weights of a module of theirs, each once, into all of a LIV's but its norm."""
    assert sum(w.numel() for w in weights.values()) == sum(p.numel() for p in theirs.parameters())
    copy_liv(liv, weights)


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
    transplant(model.livs[0], theirs, llama.attention_weights(theirs))
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
    transplant(model.livs[index], theirs, diffllama.attention_weights(theirs))
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
    transplant(model.livs[0], theirs, lfm2.short_convolution_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


@torch.no_grad()
@lengths
@widths
def test_gated_feed_forward_is_llamas(width: int, length: int) -> None:
    theirs = disturb(LlamaMLP(LlamaConfig(hidden_size=width, intermediate_size=HIDDEN[width])))
    model = backbone(9, width=width)
    transplant(model.livs[0], theirs, llama.feed_forward_weights(theirs))
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
    transplant(model.livs[0], theirs, mamba.mixer_weights(theirs))
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


@torch.no_grad()
@lengths
@widths
def test_attention_and_feed_forward_in_turn_are_a_llama(width: int, length: int) -> None:
    sizes = model_sizes(width, num_hidden_layers=3, rms_norm_eps=NORM_EPS)
    theirs = disturb(LlamaForCausalLM(LlamaConfig(**sizes)))
    ours = backbone(*[1, 9] * 3, width=width)
    copy_theirs(llama.LLAMA, ours, theirs)
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
    copy_theirs(llama.LLAMA, ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


@torch.no_grad()
@lengths
@pytest.mark.parametrize(("attention_class", "repeats"), [(24, 1), (25, 2), (26, 4)])
def test_short_convolutions_and_grouped_attention_are_an_lfm2(
    attention_class: int, repeats: int, length: int
) -> None:
    kinds = ["conv", "full_attention", "conv", "full_attention"]
    sizes = model_sizes(
        64, num_hidden_layers=len(kinds), num_key_value_heads=4 // repeats, norm_eps=NORM_EPS
    )
    config = Lfm2Config(
        **sizes, layer_types=kinds, block_auto_adjust_ff_dim=False, pad_token_id=None
    )
    theirs = disturb(Lfm2ForCausalLM(config))
    ours = backbone(*[7, 9, attention_class, 9] * 2, width=64)
    copy_theirs(lfm2.LFM2, ours, theirs)
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
    copy_theirs(mamba.MAMBA, ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_state_space_dual_is_mamba_2s(groups: int, width: int, length: int) -> None:
    config = mamba2_config(width, layer_norm_epsilon=NORM_EPS, n_groups=groups)
    theirs = disturb(Mamba2Mixer(config, layer_idx=0))
    theirs.out_proj.weight.mul_(10.0)  # a norm leaves small outputs
    model = backbone(23, width=width, recurrent_groups=groups)
    transplant(model.livs[0], theirs, mamba2.mixer_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


def mamba2_config(width: int, **sizes: Any) -> Mamba2Config:
    heads = HEADS[width]
    return Mamba2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_heads=heads,
        head_dim=width // heads,
        state_size=64,
        expand=1,
        conv_kernel=4,
        chunk_size=16,
        tie_word_embeddings=True,
        **sizes,
    )


@torch.no_grad()
@lengths
def test_state_space_dual_heads_alone_are_a_mamba_2(length: int) -> None:
    config = mamba2_config(64, num_hidden_layers=2, layer_norm_epsilon=NORM_EPS, n_groups=1)
    theirs = disturb(Mamba2ForCausalLM(config))
    ours = backbone(23, 23, width=64)
    copy_theirs(mamba2.MAMBA2, ours, theirs)
    check(ours(tokens(length)), theirs(tokens(length)).logits)


@torch.no_grad()
@lengths
def test_eight_groups_of_heads_are_nemotron_hs(length: int) -> None:
    config = NemotronHConfig(
        hidden_size=64, mamba_num_heads=16, mamba_head_dim=8, n_groups=8, ssm_state_size=128,
        layers_block_type=["linear_attention"], layer_norm_epsilon=NORM_EPS, time_step_min=0.0,
    )  # fmt: skip
    theirs = disturb(NemotronHMamba2Mixer(config, layer_idx=0))
    theirs.out_proj.weight.mul_(10.0)  # a norm leaves small outputs
    model = backbone(37, width=64, recurrent_width=128, recurrent_head_width=8, recurrent_groups=8)
    transplant(model.livs[0], theirs, mamba2.mixer_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


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
    transplant(model.livs[0], theirs, qwen3_next.gated_delta_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


def olmo_hybrid_config(width: int) -> OlmoHybridConfig:
    """Heads of the delta rule as wide as ours are at this width, their keys half as wide."""
    values = width // HEADS[width]
    heads = 3 * width // 2 // values
    return OlmoHybridConfig(
        **attention_sizes(width, HEADS[width]), vocab_size=VOCABULARY, rms_norm_eps=NORM_EPS,
        num_hidden_layers=2, layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=heads, linear_num_value_heads=heads,
        linear_key_head_dim=values // 2, linear_value_head_dim=values,
        pad_token_id=None, eos_token_id=None,
    )  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5, 37, 130])
@widths
def test_negative_eigenvalues_are_olmo_hybrids(width: int, length: int) -> None:
    theirs = disturb(OlmoHybridGatedDeltaNet(olmo_hybrid_config(width), layer_idx=0))
    theirs.o_proj.weight.mul_(10.0)  # a head-wise norm and a gate leave small outputs
    theirs.v_proj.weight.mul_(0.01)  # so small that the epsilon of the head-wise norm shows
    model = backbone(44, width=width)
    transplant(model.livs[0], theirs, olmo_hybrid.gated_delta_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize(("liv_class", "rotated"), [(45, True), (46, False)])
def test_a_norm_of_all_heads_together_is_olmo_hybrids(
    liv_class: int, rotated: bool, width: int, length: int
) -> None:
    theirs = disturb(OlmoHybridAttention(olmo_hybrid_config(width), layer_idx=1))
    model = backbone(liv_class, width=width)
    transplant(model.livs[0], theirs, llama.normed_attention_weights(theirs))
    x, found = traced(model, 0, length)
    turns = LlamaRotaryEmbedding(LlamaConfig(**attention_sizes(theirs.head_dim, heads=1)))
    turned = turns(x, torch.arange(length)[None]) if rotated else None
    mask = torch.full((length, length), -math.inf).triu(1)[None, None]
    check(found, theirs(x, turned, mask)[0])


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 5, 37, 130])
@widths
def test_kda_is_the_delta_attention_of_kimi_linear(width: int, length: int) -> None:
    config = KimiLinearConfig(
        hidden_size=width,
        linear_num_heads=HEADS[width],
        linear_head_dim=width // HEADS[width],
        rms_norm_eps=NORM_EPS,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
    )
    theirs = disturb(kimi_delta_attention(config))
    theirs.o_proj.weight.mul_(10.0)  # a head-wise norm and a gate leave small outputs
    model = backbone(40, width=width)
    transplant(model.livs[0], theirs, kimi_linear.delta_attention_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


def kimi_delta_attention(config: KimiLinearConfig) -> KimiLinearDeltaAttention:
    """Theirs with rates and steps as it begins a training with; made alone it leaves them as they
    lie in memory."""
    theirs = KimiLinearDeltaAttention(config, layer_idx=0)
    gate = theirs.forget_gate
    gate.A_log.copy_(torch.empty_like(gate.A_log).uniform_(1.0, 16.0).log())
    gate.dt_bias.copy_(torch.empty_like(gate.dt_bias).uniform_(-7.0, -2.0))
    return theirs


def latent_sizes(width: int) -> dict[str, Any]:
    """The shares of a head width that our latent attention has, by their names."""
    heads = HEADS[width]
    own = width // heads
    return {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "q_lora_rank": None,
        "kv_lora_rank": 4 * own,
        "qk_nope_head_dim": own,
        "qk_rope_head_dim": own // 2,
        "v_head_dim": own,
        "attn_implementation": "eager",
    }


@torch.no_grad()
@lengths
@widths
@pytest.mark.parametrize("neighbours", [False, True])
def test_latent_attention_is_deepseeks(neighbours: bool, width: int, length: int) -> None:
    """Rotations of halves, and of neighbours as the released weights have them."""
    sizes = {**latent_sizes(width), "rope_interleave": neighbours}
    rotations = {"rope_type": "default", "rope_theta": ROPE_BASE}
    config = DeepseekV3Config(**sizes, rope_parameters=rotations)
    theirs = disturb(DeepseekV3Attention(config, layer_idx=0))
    theirs.kv_a_layernorm.variance_epsilon = NORM_EPS
    model = backbone(41, width=width)
    transplant(model.livs[0], theirs, deepseek_v3.latent_attention_weights(theirs))
    x, found = traced(model, 0, length)
    turns = LlamaRotaryEmbedding(LlamaConfig(**attention_sizes(theirs.qk_rope_head_dim, heads=1)))
    mask = torch.full((length, length), -math.inf).triu(1)[None, None]
    check(found, theirs(x, turns(x, torch.arange(length)[None]), mask)[0])


@torch.no_grad()
@lengths
@widths
def test_latent_attention_without_positions_is_kimi_linears(width: int, length: int) -> None:
    config = KimiLinearConfig(
        **latent_sizes(width), num_hidden_layers=1, layer_types=["full_attention"]
    )
    theirs = disturb(KimiLinearAttention(config, layer_idx=0))
    theirs.kv_a_layernorm.variance_epsilon = NORM_EPS
    model = backbone(43, width=width)
    transplant(model.livs[0], theirs, deepseek_v3.latent_attention_weights(theirs))
    x, found = traced(model, 0, length)
    mask = torch.full((length, length), -math.inf).triu(1)[None, None]
    check(found, theirs(x, mask)[0])


@torch.no_grad()
@lengths
@widths
def test_squared_relu_is_nemotron_hs(width: int, length: int) -> None:
    config = NemotronHConfig(hidden_size=width, intermediate_size=4 * width)
    theirs = disturb(NemotronHMLP(config))
    model = backbone(42, width=width)
    transplant(model.livs[0], theirs, nemotron_h.feed_forward_weights(theirs))
    x, found = traced(model, 0, length)
    check(found, theirs(x))


def test_costs_at_the_sizes_of_kimi_linear_are_theirs() -> None:
    """Of moonshotai/Kimi-Linear-48B-A3B, whose sizes are the defaults of their configuration."""
    config = KimiLinearConfig(num_hidden_layers=1, layer_types=["linear_attention"])
    with torch.device("meta"):
        theirs = [KimiLinearDeltaAttention(config, 0), KimiLinearAttention(config, 0)]
    inner = config.linear_num_heads * config.linear_head_dim
    sizes = ModelConfig(
        width=config.hidden_size, head_width=config.linear_head_dim,
        attention_width=inner, recurrent_width=inner,
    )  # fmt: skip
    genome = Genome.from_text("40.1.1.1.1-43.1.1.1.1", "released")
    counted = [count - sizes.width for count in parameter_count(genome, sizes).per_liv]
    assert counted == [sum(p.numel() for p in module.parameters()) for module in theirs]
    state, latents = liv_cache_bytes(genome, sizes, CacheSetting(context=1000))
    assert state == 4 * 32 * 128 * 128 + 2 * 3 * 3 * inner  # float32, and bfloat16 last inputs
    assert latents == 2 * 1000 * (config.kv_lora_rank + config.qk_rope_head_dim)
