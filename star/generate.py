"""python -m star.generate checkpoint=<folder> prompt="...": stream text from a trained genome.

The last line, on standard error, tells tokens per second and the bytes of the cache, predicted and
allocated.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from star.base.command_line import check_seed, register, run_command
from star.base.devices import check_device, torch_device
from star.base.errors import UserError
from star.data.tokenizers import VOCABULARY, TextStream, encode
from star.genomes import CacheSetting, cache_bytes
from star.models import Cache, Checkpoint, load_checkpoint
from star.models.generation import Sampling, generate

FORMATS = ("text", "json")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass
class GenerateConfig:
    """Settings of the command.

    checkpoint: folder that `star.train` left. prompt: text to go on from. tokens: most tokens to
    generate. context: positions of the cache (None: prompt and tokens). stop: text that ends the
    generation. dtype: of weights and cache; `auto` is bfloat16 on CUDA, float32 elsewhere.
    """

    checkpoint: str = "???"
    prompt: str = ""
    tokens: int = 200
    context: int | None = None
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    format: str = "text"

    def check(self) -> None:
        """Raise `UserError` naming the key, its value and what was expected."""
        for name, choices in (("format", FORMATS), ("dtype", DTYPES)):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name}={getattr(self, name)}: expected one of {', '.join(choices)}"
                )
        for name in ("tokens", "context"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value}: expected at least 1")
        check_seed(self.seed)
        if self.stop == "":
            raise UserError("stop is empty: expected the text that ends the generation")
        check_device("device", self.device)


def place(checkpoint: Checkpoint, config: GenerateConfig) -> str:
    """Move the model to the wanted device and dtype; returns the dtype's name."""
    device = torch_device(config.device)
    name = (
        config.dtype
        if config.dtype != "auto"
        else ("bfloat16" if device.type == "cuda" else "float32")
    )
    checkpoint.model.to(device, getattr(torch, name)).eval()
    return name


def run(
    config: GenerateConfig, checkpoint: Checkpoint, show: Callable[[str], None]
) -> dict[str, Any]:
    """Generate, showing text as it becomes certain; returns what `format=json` prints.

    `tokens_per_second` counts the tokens behind the first, which the prompt's prefill gives. Raises
    `UserError` for a prompt longer than the context.
    """
    prompt = encode(config.prompt)
    context = config.context or len(prompt) + config.tokens
    if len(prompt) > context:
        raise UserError(
            f"context={context}: the prompt has {len(prompt)} tokens; use a larger context or a "
            f"shorter prompt"
        )
    dtype = place(checkpoint, config)
    cache = Cache.allocate(checkpoint.model, 1, context)
    sampling = Sampling(config.temperature, config.top_k, config.top_p, config.seed)
    stream, pieces, count, start = TextStream(config.stop), [], 0, time.perf_counter()
    first = start
    for count, token in enumerate(
        generate(checkpoint.model, cache, prompt, sampling, VOCABULARY), start=1
    ):
        first = time.perf_counter() if count == 1 else first
        pieces.append(stream.push(token))
        show(pieces[-1])
        if stream.stopped or count == config.tokens:
            break
    seconds = time.perf_counter() - (first if count > 1 else start)
    pieces.append(stream.finish())
    show(pieces[-1])
    return {
        "text": "".join(pieces),
        "tokens": count,
        "tokens_per_second": max(1, count - 1) / seconds,
        "predicted_cache_bytes": cache_bytes(
            checkpoint.genome.genome, checkpoint.config, CacheSetting(context, 1, dtype)
        ),
        "allocated_cache_bytes": cache.nbytes,
    }


def stream_to_stdout(text: str) -> None:
    """Print text at once, without a line end."""
    print(text, end="", flush=True)


def main(config: GenerateConfig) -> None:
    """Load the checkpoint, generate, report."""
    config.check()
    Sampling(config.temperature, config.top_k, config.top_p, config.seed).check()
    checkpoint = load_checkpoint(config.checkpoint)
    if config.format == "json":
        print(json.dumps(run(config, checkpoint, lambda text: None)))
        return
    stream_to_stdout(config.prompt)
    result = run(config, checkpoint, stream_to_stdout)
    print()
    print(
        f"{result['tokens']} tokens, {result['tokens_per_second']:,.0f} tokens per second; cache "
        f"bytes: "
        f"{result['predicted_cache_bytes']:,} predicted, {result['allocated_cache_bytes']:,} "
        f"allocated",
        file=sys.stderr,
    )


register("generate_schema", GenerateConfig)

if __name__ == "__main__":
    run_command("generate", main, literal=("prompt", "stop"))
