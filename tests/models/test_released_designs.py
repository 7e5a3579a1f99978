"""Library designs of released models beside the models of `transformers` at their real sizes, which
are made without memory (torch's `meta`): as many parameters, and the caches that they allocate."""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Lfm2Config,
    Lfm3Config,
    Mamba2Config,
    MambaConfig,
    NemotronHConfig,
    OlmoHybridConfig,
    Qwen3Config,
)

from star.genomes import CacheSetting, ModelConfig, cache_bytes, load_genome, parameter_count
from star.runs.origin import configured, read_origin

POSITIONS = 300  # more than LFM3's window of 256
# As the configuration of Nemotron-H 8B has it.
PATTERN = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
LAYERS = {"M": "linear_attention", "-": "mlp", "*": "full_attention"}
CONFIGURATIONS: dict[str, Any] = {
    "lfm2_1_2b": Lfm2Config(
        vocab_size=65536, hidden_size=2048, intermediate_size=12288, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, conv_L_cache=3,
        block_auto_adjust_ff_dim=True, block_multiple_of=256, block_ffn_dim_multiplier=1.0,
        full_attn_idxs=[2, 5, 8, 10, 12, 14],
    ),
    "lfm3": Lfm3Config(),
    "mamba2": Mamba2Config(
        vocab_size=50288, hidden_size=2560, num_hidden_layers=64, num_heads=80, head_dim=64,
        state_size=128, n_groups=1, tie_word_embeddings=True,
    ),
    "mamba_130m": MambaConfig(vocab_size=50280, hidden_size=768, num_hidden_layers=24),
    "nemotron_h": NemotronHConfig(layers_block_type=[LAYERS[kind] for kind in PATTERN]),
    "olmo_hybrid": OlmoHybridConfig(rope_parameters={"rope_theta": None}),
    "qwen3": Qwen3Config(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
}  # fmt: skip


def allocated(layer: Any) -> int:
    """Bytes of one layer of theirs as ours keeps it: a position less of a convolution's inputs,
    whose oldest no step needs, and one more of a window, where the present one has its place.
    A feed-forward layer has one that stays empty."""
    if hasattr(layer, "keys"):
        if layer.keys is None:
            return 0
        kept = layer.keys.shape[2]
        return (layer.keys.nbytes + layer.values.nbytes) // kept * (kept + layer.is_sliding)
    convolutions = (x[..., 1:].numel() * x.element_size() for x in layer.conv_states.values())
    states = (x.nbytes for x in layer.recurrent_states.values() if x is not None)
    return sum(convolutions) + sum(states)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_released_design_has_the_parameters_and_the_cache_of_its_model(name: str) -> None:
    with torch.device("meta"):
        theirs = AutoModelForCausalLM.from_config(CONFIGURATIONS[name], dtype=torch.bfloat16)
    genome, sizes = load_genome(name)[0], configured(ModelConfig(), read_origin(name), "model")
    count = parameter_count(genome, sizes)
    assert count.non_embedding + count.embedding == sum(p.numel() for p in theirs.parameters())
    tokens = torch.zeros(1, POSITIONS, dtype=torch.long, device="meta")
    with torch.no_grad():
        found = theirs(tokens, use_cache=True)
    cache = next(
        getattr(found, key) for key in ("cache", "past_key_values", "cache_params") if key in found
    )
    expected = cache_bytes(genome, sizes, CacheSetting(POSITIONS))
    assert sum(allocated(layer) for layer in cache.layers) == expected
