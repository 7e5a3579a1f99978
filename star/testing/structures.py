"""What every class must be once it is decoded: as large as its genome says, causal, trainable, and
generating what it computes in parallel with the cache that was predicted.

`check_class` does all of it, under every sharing of the class' structure; a suite for pytest:

    from star.testing.structures import StructureSuite

    class TestMine(StructureSuite):
        def make(self):
            return "my_alphabet"
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch

from star.genomes import (
    NOT_SHARED,
    Alphabet,
    CacheSetting,
    Genome,
    Liv,
    ModelConfig,
    cache_bytes,
    get_alphabet,
    liv_cache_bytes,
    parameter_count,
)
from star.genomes.widths import fits
from star.models import Cache, LanguageModel, decode

MODEL = ModelConfig(width=64, vocabulary=32, window=6)
LENGTH = 23
LEAK = 1e-5  # the FFT of long convolutions leaks rounding errors from later positions
# Parallel and stepwise forms add the same float32 numbers in different orders, through up to eight
# LIVs.
ROUNDING = 2e-4


class StructureSuite:
    """Override `make`."""

    def make(self) -> str | Alphabet:
        """An alphabet, or the name of one, whose every class is under test."""
        raise NotImplementedError

    def test_every_class_is_what_its_genome_says(self) -> None:
        """See `check_class`."""
        alphabet = get_alphabet(self.make())
        for liv_class in alphabet.classes:
            check_class(liv_class.id, alphabet)


def check_class(class_id: int, alphabet: str | Alphabet = "extended") -> None:
    """Check three LIVs of one class under every combination of sharing that it has.

    Raises AssertionError for what does not hold, and `GenomeError` for a class that cannot be
    decoded.
    """
    letters = get_alphabet(alphabet)
    strategies = (NOT_SHARED, *letters.by_id[class_id].operator.structure.sharing)
    for tied, shared in itertools.product((1, 2), strategies):
        genome = Genome(tuple(Liv(class_id, 1, tied, 1, shared) for _ in range(3)), letters)
        check_decoding(genome)
        check_generation(genome, parts=[5, 3, 10])
        check_cache(genome, CacheSetting(context=9, batch=3, dtype="bfloat16"))


def sizes_of(genome: Genome) -> ModelConfig:
    """`MODEL`, with more heads where a class has not whole ones there."""
    whole = all(fits(liv_class, MODEL) for liv_class in genome.classes())
    return MODEL if whole else replace(MODEL, attention_width=6 * MODEL.width)


def build(genome: Genome, model: ModelConfig | None = None, scale: float = 1.0) -> LanguageModel:
    """A decoded genome, the same at every call.

    Args:
        genome: to decode.
        model: its sizes; None is `sizes_of`.
        scale: factor of all matrices; with 3 every LIV matters to the logits.
    """
    torch.manual_seed(0)
    language_model = decode(genome, model or sizes_of(genome)).eval()
    with torch.no_grad():
        for parameter in language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
    return language_model


def tokens(length: int = LENGTH, batch: int = 2) -> torch.Tensor:
    """Random tokens (batch, length), the same at every call."""
    generator = torch.Generator().manual_seed(length)
    return torch.randint(0, MODEL.vocabulary, (batch, length), generator=generator)


def check_decoding(genome: Genome) -> None:
    """Parameters as counted; logits finite, and a function of earlier tokens alone; a gradient for
    every parameter."""
    model, count = build(genome), parameter_count(genome, sizes_of(genome))
    found = sum(p.numel() for p in model.parameters())
    expected = count.non_embedding + count.embedding
    assert found == expected, f"{found} parameters were built, {expected} counted"
    x = tokens()
    y = model(x)
    assert y.shape == (*x.shape, MODEL.vocabulary) and torch.isfinite(y).all()
    changed = x.clone()
    changed[:, 13:] = (changed[:, 13:] + 1) % MODEL.vocabulary
    later = model(changed)
    torch.testing.assert_close(later[:, :13], y[:, :13], rtol=0, atol=LEAK)
    assert not torch.allclose(later[:, 13:], y[:, 13:])
    torch.testing.assert_close(model(x[:, :9]), y[:, :9], rtol=0, atol=LEAK)
    torch.nn.functional.cross_entropy(y[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    without = [name for name, grad in gradients.items() if grad is None or not grad.any()]
    assert without == [], f"no gradient for {without}"
    assert all(grad is not None and torch.isfinite(grad).all() for grad in gradients.values())


def run_in_parts(
    model: LanguageModel, x: torch.Tensor, parts: Sequence[int], context: int | None = None
) -> torch.Tensor:
    """Logits (batch, length, vocabulary) from prefills of these lengths, then steps for the
    rest."""
    cache = Cache.allocate(model, x.shape[0], context or x.shape[1])
    outputs, position = [], 0
    for length in parts:
        outputs.append(model.prefill(x[:, position : position + length], cache))
        position += length
    steps = [model.step(x[:, t], cache)[:, None] for t in range(position, x.shape[1])]
    return torch.cat(outputs + steps, dim=1)


def check_generation(genome: Genome, parts: Sequence[int]) -> None:
    """Prefills of these lengths, then steps, give the logits of the parallel form."""
    model, x = build(genome, scale=3.0), tokens()
    with torch.no_grad():
        expected = model(x)
    assert expected.std() > 0.05
    found = run_in_parts(model, x, parts, context=LENGTH + 3)
    torch.testing.assert_close(found, expected, rtol=ROUNDING, atol=ROUNDING)


def check_cache(genome: Genome, setting: CacheSetting) -> None:
    """Predicted equals allocated, LIV by LIV, by the tensors' own account and by their storage."""
    dtypes = getattr(torch, setting.dtype), getattr(torch, setting.state_dtype)
    sizes = sizes_of(genome)
    cache = Cache.allocate(decode(genome, sizes), setting.batch, setting.context, *dtypes)
    predicted = list(liv_cache_bytes(genome, sizes, setting))
    assert cache.liv_nbytes == predicted, (
        f"{genome} allocates {cache.liv_nbytes} bytes a LIV, its `cache` and `states` say "
        f"{predicted}"
    )
    storages = {
        buffer.untyped_storage().data_ptr(): buffer.untyped_storage().nbytes()
        for memory in cache.memories
        for buffer in memory.buffers.values()
        if buffer.numel()
    }
    assert sum(storages.values()) == cache.nbytes == cache_bytes(genome, sizes, setting)
