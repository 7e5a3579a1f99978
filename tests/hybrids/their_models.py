"""Tiny models of transformers by family, which are components of hybrids."""

from pathlib import Path
from typing import Any

import torch
import transformers

from star.data.tokenizers import VOCABULARY
from star.genomes import Genome, GenomeFile, ModelConfig
from star.models import LanguageModel, decode, save_checkpoint
from star.models.hugging_face.causal_lm import StarConfig, StarForCausalLM
from tests.exporting.test_adopt import disturbed
from tests.exporting.test_adopt import theirs as adopted

TRANSFORMER = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4,
    "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
GPT = {"hidden_size": 32, "num_heads": 4, "num_layers": 4, "max_position_embeddings": 64}
# A rotation that no genome has.
SCALED = {
    "rope_type": "yarn", "factor": 2.0, "rope_theta": 10_000.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
# Of families that no genome is: classes, and sizes beside the vocabulary.
FOREIGN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {
        "n_embd": 32, "n_head": 4, "n_layer": 4, "n_positions": 64,
    }),
    "gpt_neo": ("GPTNeoConfig", "GPTNeoForCausalLM", {
        **GPT, "attention_types": [[["global", "local"], 2]], "window_size": 5,
    }),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", TRANSFORMER),
    "llama_bias": ("LlamaConfig", "LlamaForCausalLM", {**TRANSFORMER, "attention_bias": True}),
    "llama_yarn": ("LlamaConfig", "LlamaForCausalLM", {
        **TRANSFORMER, "rope_parameters": SCALED, "tie_word_embeddings": True,
    }),
    "mistral_gelu": ("MistralConfig", "MistralForCausalLM", {
        **TRANSFORMER, "hidden_act": "gelu", "sliding_window": None,
    }),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM", TRANSFORMER),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", {**TRANSFORMER, "num_key_value_heads": 1}),
    "qwen3_bias": ("Qwen3Config", "Qwen3ForCausalLM", {
        **TRANSFORMER, "attention_bias": True, "head_dim": 16,
    }),
}  # fmt: skip
ADOPTED = ("llama", "qwen3", "lfm2", "mamba", "mamba2")  # cases of `tests.exporting.test_adopt`
STAR = "star"


def foreign(case: str, **changed: Any) -> Any:
    """A tiny model of a family that no genome is."""
    torch.manual_seed(0)
    config, kind, own = FOREIGN[case]
    tokens = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    sizes = {"vocab_size": VOCABULARY, **tokens, **own, **changed}
    return disturbed(getattr(transformers, kind)(getattr(transformers, config)(**sizes)))


def their_model(case: str) -> Any:
    """A tiny model of any family, with dropout where there can be some."""
    if case == STAR:
        torch.manual_seed(0)
        return disturbed(
            StarForCausalLM(StarConfig("91111-31112", vocabulary=VOCABULARY, width=32))
        )
    return adopted(case, vocab_size=VOCABULARY) if case in ADOPTED else foreign(case)


def save_ours(folder: Path, text: str = "31111-91111-31111-91111", **sizes: Any) -> LanguageModel:
    """A checkpoint of ours with fresh weights, of a width that no other one has."""
    torch.manual_seed(1)
    genome, config = Genome.from_text(text), ModelConfig(**{"width": 48, **sizes})
    model = disturbed(decode(genome, config))
    folder.mkdir(parents=True)
    save_checkpoint(folder, model, GenomeFile("ours", genome), config)
    return model
