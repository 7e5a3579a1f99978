"""Which released models a genome is: their configurations, without any of their weights."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from star.adopt import composition
from star.base.errors import UserError
from star.genomes import ModelConfig, load_genome, parameter_count
from star.models.hugging_face.native import family_of, read_configuration
from star.runs.origin import configured, read_origin
from tests.exporting.families import NAMED, family_here


def transformer(
    width: int, feed_forward: int, layers: int, heads: int, keys: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": feed_forward, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": keys, **more,
    }  # fmt: skip


def qwen3(*sizes: int, tied: bool) -> dict[str, Any]:
    return {
        **transformer(*sizes), "vocab_size": 151936, "rope_theta": 1e6, "tie_word_embeddings": tied,
    }  # fmt: skip


def lfm2(width: int, feed_forward: int, heads: int, keys: int) -> dict[str, Any]:
    indices = [2, 5, 8, 10, 12, 14]
    return {
        **transformer(width, 0, 16, heads, keys), "block_ff_dim": feed_forward,
        "full_attn_idxs": indices, "block_ffn_dim_multiplier": 1.0, "rope_theta": 1e6,
    }  # fmt: skip


def llama3_2(*sizes: int, head_dim: int) -> dict[str, Any]:
    return {
        **transformer(*sizes), "head_dim": head_dim, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 5e5, "tie_word_embeddings": True, "max_position_embeddings": 131072,
        "bos_token_id": 128000, "eos_token_id": 128001, "attention_bias": False, "mlp_bias": False,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    }  # fmt: skip


def smollm2(*sizes: int) -> dict[str, Any]:
    more = {"vocab_size": 49152, "rope_theta": 1e5, "tie_word_embeddings": True}
    return {**transformer(*sizes), **more}


def mamba2(width: int, layers: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "num_heads": width // 32, "num_hidden_layers": layers, "n_groups": 1,
        "vocab_size": 50288, "tie_word_embeddings": True,
    }  # fmt: skip


# Their class, their configuration as far as it is not the class' own, and their parameters as the
# hub counts them, None where that was not known here.
TAKEN: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "Llama-2-7b": ("Llama", {}, 6_738_415_616),
    "Meta-Llama-3-8B": (
        "Llama",
        transformer(4096, 14336, 32, 32, 8, vocab_size=128256, rope_theta=5e5),
        8_030_261_248,
    ),
    "Llama-3.2-1B": ("Llama", llama3_2(2048, 8192, 16, 32, 8, head_dim=64), 1_235_814_400),
    "Llama-3.2-3B": ("Llama", llama3_2(3072, 8192, 28, 24, 8, head_dim=128), 3_212_749_824),
    "TinyLlama-1.1B": ("Llama", transformer(2048, 5632, 22, 32, 4), 1_100_048_384),
    "SmolLM2-135M": ("Llama", smollm2(576, 1536, 30, 9, 3), 134_515_008),
    "SmolLM2-360M": ("Llama", smollm2(960, 2560, 32, 15, 5), 361_821_120),
    "Mistral-7B-v0.1": ("Mistral", {"rms_norm_eps": 1e-5}, 7_241_732_096),
    "Qwen3-0.6B": ("Qwen3", qwen3(1024, 3072, 28, 16, 8, tied=True), 596_049_920),
    "Qwen3-4B": ("Qwen3", qwen3(2560, 9728, 36, 32, 8, tied=True), 4_022_468_096),
    "Qwen3-8B": ("Qwen3", qwen3(4096, 12288, 36, 32, 8, tied=False), 8_190_735_360),
    "Qwen3-32B": ("Qwen3", qwen3(5120, 25600, 64, 64, 8, tied=False), 32_762_123_264),
    "LFM2-350M": ("Lfm2", lfm2(1024, 6656, 16, 8), 354_483_968),
    "LFM2-1.2B": ("Lfm2", lfm2(2048, 12288, 32, 8), 1_170_340_608),
    "LFM3-1.7B": ("Lfm3", {}, None),
    "mamba-130m": ("Mamba", {"num_hidden_layers": 24}, 129_135_360),
    "mamba2-130m": ("Mamba2", mamba2(768, 24), None),
    "mamba2-2.7b": ("Mamba2", mamba2(2560, 64), None),
    "Olmo-Hybrid-7B": ("OlmoHybrid", {"rope_parameters": {"rope_theta": None}}, None),
}
REFUSED = {
    "Qwen3-14B": (
        "Qwen3",
        qwen3(5120, 17408, 40, 40, 8, tied=False),
        "num_attention_heads=40 and num_key_value_heads=8: expected 1, 2, 4, 8 query heads",
    ),
    "LFM2-700M": (
        "Lfm2",
        lfm2(1536, 10240, 24, 8),
        "num_attention_heads=24 and num_key_value_heads=8: expected 1, 2, 4, 8 query heads",
    ),
    "Nemotron-H-8B": (
        "NemotronH",
        {"layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp"]},
        "time_step_min=0.001: expected at most 1e-06",
    ),
}  # fmt: skip


def test_the_table_of_the_documents_is_true() -> None:
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w.-]+-[\w.-]+) \| (.*?) \|", text, re.MULTILINE))
    assert rows.keys() == TAKEN.keys() | REFUSED.keys()
    for name, (prefix, settings, _) in TAKEN.items():
        config = family_here(prefix).class_of("Config")(**settings)
        assert composition(read_configuration(NAMED[prefix], config)[0]) == rows[name]
    assert not any(rows[name] for name in REFUSED)


@pytest.mark.parametrize("name", TAKEN)
def test_released_models_that_a_genome_is(name: str) -> None:
    prefix, settings, expected = TAKEN[name]
    family = family_here(prefix)
    config = family.class_of("Config")(**settings)
    genome, sizes = read_configuration(family, config)
    count = parameter_count(genome, sizes)
    found = count.non_embedding + count.embedding
    assert found == (expected or found)
    assert family_of(genome, sizes) is family
    assert ("llama3" in str(settings)) == (sizes.rope_original_positions == 8192)
    made = family.configuration(genome.classes(), sizes, 640)
    for settings in (config, made):  # of either, their model has as many
        with torch.device("meta"):
            model = family.class_of("ForCausalLM")(settings)
        assert sum(weights.numel() for weights in model.parameters()) == found


@pytest.mark.parametrize(
    ("design", "family"),
    [
        ("qwen3", "Qwen3"), ("lfm2_1_2b", "LFM2"), ("lfm3", "LFM3"), ("mamba_130m", "Mamba"),
        ("mamba2", "Mamba-2"), ("nemotron_h", "Nemotron-H"), ("granite_4_h", None),
        ("kimi_linear", None), ("olmo_hybrid", "OLMo-Hybrid"), ("qwen3_next", None),
    ],
)  # fmt: skip
def test_library_designs_of_released_models_are_of_their_families(
    design: str, family: str | None
) -> None:
    if family is not None:
        family_here(next(prefix for prefix, one in NAMED.items() if one.name == family))
    sizes = configured(ModelConfig(), read_origin(design), "model")
    found = family_of(load_genome(design)[0], sizes)
    assert (found and found.name) == family


@pytest.mark.parametrize("name", REFUSED)
def test_released_models_that_no_genome_is(name: str) -> None:
    prefix, settings, message = REFUSED[name]
    family = family_here(prefix)
    with pytest.raises(UserError) as refused:
        read_configuration(family, family.class_of("Config")(**settings))
    assert message in str(refused.value)
