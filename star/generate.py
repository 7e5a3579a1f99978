"""python -m star.generate checkpoint=<folder> prompt="...": stream text from a trained genome.

The last line, on standard error, tells tokens per second and the bytes of the cache, predicted and
allocated.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from star.base.command_line import run_command
from star.base.devices import check_device, torch_device
from star.base.errors import UserError
from star.base.imports import import_plugins
from star.base.reading import expanded
from star.base.settings import expect, expect_one_of, expect_seed
from star.data.subwords import checkpoint_tokenizer
from star.data.tokenizers import TextStream, Tokenizer, prompt_tokens
from star.genomes import CacheSetting, GenomeError, cache_bytes
from star.models import Cache, Checkpoint, load_checkpoint
from star.models.generation import Sampling, generate

FORMATS = ("text", "json")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass
class GenerateConfig:
    """Stream text from a trained genome."""

    checkpoint: str = "???"  # folder that star.train left
    prompt: str = ""  # text to go on from, taken as it is written
    tokens: int = 200  # at most
    context: int | None = None  # positions of the cache; null: prompt and tokens
    temperature: float = 0.8  # 0 takes the likeliest token
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the likeliest that hold this probability together
    seed: int = 0  # the same seed gives the same text
    stop: str | None = None  # text that ends the generation, taken as it is written
    dtype: str = "auto"  # of weights and cache: bfloat16 on CUDA, float32 elsewhere
    state_dtype: str = "float32"  # of running states, which bfloat16 would spoil
    device: str = "auto"  # cpu or cuda
    format: str = "text"  # or json
    plugins: list[str] = field(default_factory=list)  # modules or .py files that add operators

    def check(self) -> None:
        """Raise `UserError` for the first setting that cannot be used."""
        expect_one_of("format", self.format, FORMATS)
        expect_one_of("dtype", self.dtype, DTYPES)
        expect_one_of("state_dtype", self.state_dtype, DTYPES[1:])
        for name in ("tokens", "context"):
            value = getattr(self, name)
            expect(name, value, value is None or value >= 1, "at least 1")
        expect_seed(self.seed)
        if self.stop == "":
            raise UserError("stop is empty: expected the text that ends the generation")
        check_device("device", self.device)
        self.sampling().check()

    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return Sampling(self.temperature, self.top_k, self.top_p, self.seed)


def place(checkpoint: Checkpoint, config: GenerateConfig) -> str:
    """Move the model to the wanted device and dtype; returns the dtype's name."""
    device = torch_device(config.device)
    usual = "bfloat16" if device.type == "cuda" else "float32"
    name = usual if config.dtype == "auto" else config.dtype
    checkpoint.model.to(device, getattr(torch, name)).eval()
    return name


def tokens(
    config: GenerateConfig,
    checkpoint: Checkpoint,
    cache: Cache,
    prompt: Sequence[int],
    vocabulary: int,
) -> Iterator[int]:
    """Tokens below `vocabulary` that follow the prompt. Raises `UserError` for a model without
    finite logits."""
    try:
        yield from generate(checkpoint.model, cache, prompt, config.sampling(), vocabulary)
    except UserError as error:
        raise UserError(f"checkpoint={config.checkpoint}: {error}") from None


def run(
    config: GenerateConfig,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    show: Callable[[str], None],
) -> dict[str, Any]:
    """Generate, showing text as it becomes certain; returns what `format=json` prints.

    `tokens_per_second` counts the tokens behind the first, which the prompt's prefill gives. Raises
    `UserError` for a prompt longer than the context.
    """
    prompt = prompt_tokens(tokenizer, config.prompt)
    context = config.context or len(prompt) + config.tokens
    if len(prompt) > context:
        raise UserError(
            f"context={context}: the prompt has {len(prompt)} tokens; use a larger context or a "
            f"shorter prompt"
        )
    setting = CacheSetting(context, 1, place(checkpoint, config), config.state_dtype)
    states = getattr(torch, setting.state_dtype)
    cache = Cache.allocate(checkpoint.model, 1, context, state_dtype=states)
    decoder = tokenizer.decoder()
    for token in prompt if config.prompt else ():  # which is shown, and which the text goes on from
        decoder.decode(token)
    stream, pieces, count = TextStream(config.stop, decoder), [], 0
    first = start = time.perf_counter()
    found = tokens(config, checkpoint, cache, prompt, tokenizer.vocabulary)
    for count, token in enumerate(found, start=1):
        first = time.perf_counter() if count == 1 else first
        pieces.append(stream.push(token))
        show(pieces[-1])
        if stream.stopped or count == config.tokens:
            break
    # A single token came from the prefill, whose time is then all there is.
    seconds = time.perf_counter() - (first if count > 1 else start)
    pieces.append(stream.finish())
    show(pieces[-1])
    return {
        "text": "".join(pieces),
        "tokens": count,
        "tokens_per_second": max(1, count - 1) / seconds,
        "predicted_cache_bytes": cache_bytes(checkpoint.genome.genome, checkpoint.config, setting),
        "allocated_cache_bytes": cache.nbytes,
    }


def stream_to_stdout(text: str) -> None:
    """Print text at once, without a line end."""
    print(text, end="", flush=True)


def main(config: GenerateConfig, arguments: list[str]) -> None:
    """Load the checkpoint, generate, report."""
    config.check()
    import_plugins(config.plugins)
    checkpoint = load_checkpoint(config.checkpoint)
    folder, sizes = expanded(config.checkpoint), checkpoint.config
    tokenizer = checkpoint_tokenizer(folder, checkpoint.genome.settings, sizes.vocabulary)
    if config.format == "json":
        print(json.dumps(run(config, checkpoint, tokenizer, lambda text: None)))
        return
    stream_to_stdout(config.prompt)
    try:
        result = run(config, checkpoint, tokenizer, stream_to_stdout)
    finally:
        print()
    predicted, allocated = result["predicted_cache_bytes"], result["allocated_cache_bytes"]
    print(
        f"{result['tokens']} tokens, {result['tokens_per_second']:,.0f} tokens per second; cache "
        f"bytes: {predicted:,} predicted, {allocated:,} allocated",
        file=sys.stderr,
    )
    if predicted != allocated:
        print("warning: the cache formula of an operator is wrong", file=sys.stderr)


if __name__ == "__main__":
    run_command("generate", main, (GenomeError,), literal=("prompt", "stop"))
