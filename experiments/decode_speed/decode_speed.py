"""Tokens per second of our decoder and of Hugging Face transformers for the same layouts, side by
side in one run, and the memory of a recurrent genome.

    python experiments/decode_speed/decode_speed.py

Writes results.csv beside this file. Needs transformers (pip install -e '.[dev]').
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from star.genomes import CacheSetting, ModelConfig, cache_bytes, load_genome
from star.genomes.model_config import head_width
from star.models import Cache, LanguageModel, decode
from star.models.generation import Sampling, generate

HERE = Path(__file__).parent
WIDTH, DEPTH, VOCABULARY = 256, 16, 256
PROMPT, TOKENS, REPEATS = 16, 256, 7
FEED_FORWARD = 688  # 8/3 of the width, rounded up to 8
GREEDY = Sampling(temperature=0.0)


def our_model(design: str, width: int = WIDTH, depth: int = DEPTH) -> LanguageModel:
    torch.manual_seed(0)
    return decode(
        load_genome(design, depth)[0], ModelConfig(width=width, vocabulary=VOCABULARY)
    ).eval()


def peers() -> dict[str, torch.nn.Module]:
    """The same sizes in transformers; a layer of theirs is two of our LIVs."""
    heads = WIDTH // head_width(ModelConfig(width=WIDTH))
    shared = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": DEPTH // 2,
        "num_attention_heads": heads,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
    }
    classes = load_genome("lfm2", DEPTH)[0].classes()[::2]
    layers = ["conv" if liv_class.name == "GConv-1" else "full_attention" for liv_class in classes]
    lfm2 = Lfm2Config(
        **shared,
        num_key_value_heads=heads // 4,
        layer_types=layers,
        block_auto_adjust_ff_dim=False,
        conv_L_cache=3,
    )
    return {
        "transformer_pp": LlamaForCausalLM(LlamaConfig(**shared, num_key_value_heads=heads)).eval(),
        "lfm2": Lfm2ForCausalLM(lfm2).eval(),
    }


def ours_once(model: LanguageModel, prompt: torch.Tensor) -> None:
    cache = Cache.allocate(model, 1, PROMPT + TOKENS)
    for count, _ in enumerate(generate(model, cache, prompt[0].tolist(), GREEDY), start=1):
        if count == TOKENS:
            return


def theirs_once(model: torch.nn.Module, prompt: torch.Tensor) -> None:
    """`generate` as a user calls it, greedy, cache on."""
    model.generate(  # type: ignore[operator]
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=True,
        max_new_tokens=TOKENS,
        min_new_tokens=TOKENS, pad_token_id=0, eos_token_id=None,
    )  # fmt: skip


@torch.inference_mode()
def their_loop_once(model: torch.nn.Module, prompt: torch.Tensor) -> None:
    """Only their forward passes, without what `generate` does around them."""
    output = model(prompt, use_cache=True)
    for _ in range(TOKENS - 1):
        token = output.logits[:, -1].argmax(-1, keepdim=True)
        output = model(token, past_key_values=output.past_key_values, use_cache=True)


def seconds(runs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each, taken in turn so that all see the same machine."""
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def compare() -> pd.DataFrame:
    prompt = torch.arange(PROMPT)[None]
    rows = []
    for design, peer in peers().items():
        model = our_model(design)
        ours, theirs = (sum(p.numel() for p in m.parameters()) for m in (model, peer))
        taken = seconds(
            {
                "ours": lambda model=model: ours_once(model, prompt),
                "generate": lambda peer=peer: theirs_once(peer, prompt),
                "forward loop": lambda peer=peer: their_loop_once(peer, prompt),
            }
        )
        for name in ("generate", "forward loop"):
            rows.append(
                {
                    "layout": design,
                    "peer": f"{type(peer).__name__}, {name}",
                    "our_parameters": ours,
                    "peer_parameters": theirs,
                    "our_tokens_per_second": round(TOKENS / taken["ours"], 1),
                    "peer_tokens_per_second": round(TOKENS / taken[name], 1),
                    "ratio": round(taken[name] / taken["ours"], 2),
                }
            )
    return pd.DataFrame(rows)


def resident_bytes() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resident_growth(tokens: int = 2000, warm_up: int = 100) -> str:
    """How much the process grows while a recurrent genome decodes."""
    genome, model = load_genome("mamba", DEPTH)[0], our_model("mamba")
    cache = Cache.allocate(model, 1, tokens)
    before = count = 0
    for count, _ in enumerate(generate(model, cache, [1], GREEDY), start=1):
        before = resident_bytes() if count == warm_up else before
    predicted = cache_bytes(genome, ModelConfig(width=WIDTH), CacheSetting(tokens, 1, "float32"))
    return (
        f"mamba, width {WIDTH}, depth {DEPTH}: {count:,} tokens with a cache of {cache.nbytes:,} "
        f"bytes ({predicted:,} predicted); resident memory grew by "
        f"{resident_bytes() - before:,} bytes after token {warm_up}"
    )


def main() -> None:
    logging.set_verbosity_error()
    threads = torch.get_num_threads()
    print(
        f"torch {torch.__version__}, {threads} threads, float32, batch 1, prompt {PROMPT}, "
        f"{TOKENS} tokens"
    )
    table = compare()
    table.to_csv(HERE / "results.csv", index=False)
    print(table.to_string(index=False))
    print(resident_growth())


if __name__ == "__main__":
    main()
