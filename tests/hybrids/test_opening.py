"""Components of hybrids: models of every family are what transformers computes."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from star.base.errors import UserError
from star.base.files import read_tensors
from star.data.subwords import TOKENIZER, train_bpe
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeFile,
    cache_bytes,
    flops_per_token,
    parameter_count,
)
from star.genomes.hybrids import ForeignComponent, GenomeComponent, Hybrid, HybridAlphabet
from star.hybrids.opening import (
    Opened,
    expect_one_tokenizer,
    open_component,
    open_components,
    prepare,
)
from star.models import Cache, LanguageModel, decode, load_checkpoint, save_checkpoint
from star.models.hybrid.mixture import COMPONENTS
from tests.hybrids.their_models import ADOPTED, FOREIGN, STAR, foreign, save_ours, their_model

pytestmark = pytest.mark.slow  # models of transformers, a second each

TOLERANCE = 1e-5  # of logits in float32, whose sums have another order
CONTEXT = 13
TEXTS = [b"one tokenizer for all components, or a refusal that says which differ " * 20]


def hybrid_of(folder: Path, *opened: Opened, parts: int = 2, ends: str = "mixed") -> HybridAlphabet:
    components = tuple(one.component for one in opened)
    hybrid = Hybrid("tiny", components, 2, parts, ends=ends)
    return prepare(folder, hybrid, opened)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def letters(alphabet: HybridAlphabet, *names: str) -> Genome:
    """The genome of mixtures by name, `1-1` for half and half."""
    ids = {one.name.removeprefix("Mix-"): one.id for one in alphabet.classes}
    return Genome.from_genes([[ids[name], 1, 1, 1, 1] for name in names], alphabet)


def in_steps(model: LanguageModel, tokens: torch.Tensor) -> tuple[torch.Tensor, Cache]:
    """Logits by a prefill in two parts and steps, and the cache."""
    cache = Cache.allocate(model, len(tokens), CONTEXT)
    parts = [model.prefill(part, cache) for part in tokens[:, :9].split([5, 4], dim=1)]
    parts += [model.step(token, cache)[:, None] for token in tokens[:, 9:].unbind(dim=1)]
    return torch.cat(parts, dim=1), cache


def quick(*cases: str, of: Iterable[str]) -> list[Any]:
    """All of some cases, of which only these are not slow."""
    marks: dict[bool, Any] = {True: (), False: pytest.mark.slow}
    return [pytest.param(case, marks=marks[case in cases]) for case in of]


ALL = quick("gpt2", "gpt_neox", "llama", "mamba2", of=(*FOREIGN, *ADOPTED, STAR))


@pytest.mark.parametrize("case", ALL)
@torch.no_grad()
def test_a_mixture_of_one_component_is_that_component(case: str, tmp_path: Path) -> None:
    """In parallel and with a cache; costs are those predicted. The other one is ours, wider or
    narrower, and equal bit for bit."""
    theirs = their_model(case)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = save_ours(tmp_path / "ours")
    given = [str(tmp_path / "theirs"), str(tmp_path / "ours")]
    opened = open_components(given)
    kind = ForeignComponent if case in FOREIGN else GenomeComponent
    assert isinstance(opened[0].component, kind)
    alphabet = hybrid_of(tmp_path, *opened)
    tokens = torch.randint(256, (2, CONTEXT))

    genome = letters(alphabet, "2-0", "2-0")
    model = decode(genome, alphabet.hybrid.sizes).eval()
    expected = theirs(tokens).logits
    close(model(tokens), expected)
    stepped, cache = in_steps(model, tokens)
    close(stepped, expected)
    costs_are_predicted(genome, model, cache)

    other = decode(letters(alphabet, "0-2", "0-2"), alphabet.hybrid.sizes).eval()
    assert torch.equal(other(tokens), ours.eval()(tokens))


def costs_are_predicted(genome: Genome, model: LanguageModel, cache: Cache) -> None:
    hybrid = genome.alphabet.hybrid
    assert hybrid is not None
    count = parameter_count(genome, hybrid.sizes)
    assert sum(w.numel() for w in model.parameters()) == count.non_embedding + count.embedding
    setting = CacheSetting(CONTEXT, cache.batch, "float32")
    assert cache.nbytes == cache_bytes(genome, hybrid.sizes, setting)


@pytest.mark.parametrize("case", quick("gpt2", of=FOREIGN))
@torch.no_grad()
def test_steps_cost_what_torch_counts(case: str, tmp_path: Path) -> None:
    """Of a foreign component alone, and mixed with another of its kind."""
    foreign(case).save_pretrained(tmp_path / "theirs")
    one = open_component(str(tmp_path / "theirs"))
    alphabet = hybrid_of(tmp_path, one, one)
    for names in (("2-0", "2-0"), ("2-0", "1-1"), ("1-1", "0-2")):
        genome = letters(alphabet, *names)
        model = decode(genome, alphabet.hybrid.sizes).eval()
        cache = Cache.allocate(model, 1, CONTEXT)
        tokens = torch.zeros(1, CONTEXT, dtype=torch.int64)
        model.prefill(tokens[:, :-1], cache)
        # The counter does not know the fused attention of CPUs.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model.step(tokens[:, -1], cache)
        expected = flops_per_token(genome, alphabet.hybrid.sizes, CONTEXT)
        assert counter.get_total_flops() == expected, names
        costs_are_predicted(genome, model, cache)


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["mixed", "averaged", "shared", "0", "1"])
@torch.no_grad()
def test_a_mixture_in_steps_is_the_mixture_in_parallel(ends: str, tmp_path: Path) -> None:
    """Of a foreign component, one that became a genome, and ours."""
    their_model("gpt2").save_pretrained(tmp_path / "gpt")
    their_model("mamba").save_pretrained(tmp_path / "mamba")
    save_ours(tmp_path / "ours")
    opened = open_components([str(tmp_path / name) for name in ("gpt", "ours", "mamba")])
    alphabet = hybrid_of(tmp_path, *opened, ends=ends)
    tokens = torch.randint(256, (2, CONTEXT))
    for names in (("1-1-0", "0-1-1"), ("1-0-1", "2-0-0"), ("0-0-2", "1-0-1")):
        genome = letters(alphabet, *names)
        model = decode(genome, alphabet.hybrid.sizes).eval()
        stepped, cache = in_steps(model, tokens)
        close(stepped, model(tokens))
        costs_are_predicted(genome, model, cache)


@pytest.mark.parametrize("case", quick("gpt2", of=("gpt2", "mamba")))
def test_gradients_of_a_frozen_component_reach_its_projectors_only(
    case: str, tmp_path: Path
) -> None:
    their_model(case).save_pretrained(tmp_path / "theirs")
    save_ours(tmp_path / "ours")
    opened = open_components([str(tmp_path / "theirs"), str(tmp_path / "ours")])
    alphabet = hybrid_of(tmp_path, *opened)
    model: Any = decode(letters(alphabet, "1-1", "1-1"), alphabet.hybrid.sizes)
    model.components[0].requires_grad_(False)
    model(torch.randint(256, (2, 9))).square().mean().backward()
    for name, weight in model.named_parameters():
        is_frozen = name.startswith("components.0.")
        has_gradient = weight.grad is not None and bool(weight.grad.any())
        assert has_gradient != is_frozen, name


@pytest.mark.parametrize("case", quick("gpt_neox", of=("gpt2", "gpt_neox", "mamba2", STAR)))
def test_a_saved_hybrid_generates_as_the_one_in_memory(case: str, tmp_path: Path) -> None:
    their_model(case).save_pretrained(tmp_path / "theirs")
    save_ours(tmp_path / "ours")
    opened = open_components([str(tmp_path / "theirs"), str(tmp_path / "ours")])
    alphabet = hybrid_of(tmp_path, *opened)
    genome = letters(alphabet, "1-1", "1-1")
    model = decode(genome, alphabet.hybrid.sizes).eval()
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_checkpoint(folder, model, GenomeFile("tiny", genome), alphabet.hybrid.sizes)
    again = load_checkpoint(folder).model.eval()
    assert greedy(model) == greedy(again)


def greedy(model: LanguageModel) -> list[int]:
    cache, tokens = Cache.allocate(model, 1, CONTEXT), [7]
    while len(tokens) < CONTEXT:
        tokens.append(int(model.step(torch.tensor(tokens[-1:]), cache)[0].argmax()))
    return tokens


def test_weights_of_half_precision_are_computed_with_in_float32(tmp_path: Path) -> None:
    theirs = their_model("gpt_neox").to(torch.bfloat16)
    theirs.save_pretrained(tmp_path / "theirs")
    one = open_component(str(tmp_path / "theirs"))
    assert {weight.dtype for weight in one.weights.values()} == {torch.float32}
    assert torch.equal(one.weights["embedding.weight"], theirs.gpt_neox.embed_in.weight.float())


def test_a_name_on_the_hub_is_fetched_at_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration and tokenizer first, then weights as safetensors alone."""
    foreign("gpt2").save_pretrained(tmp_path / "cached")
    asked: list[tuple[str, str, list[str]]] = []

    def download(name: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(tmp_path / "cached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    one = open_component("openai/gpt-2.0", "v1")
    assert one.component.name == "gpt_2_0"
    assert [(name, revision) for name, revision, _ in asked] == [("openai/gpt-2.0", "v1")] * 2
    assert {"config.json", "vocab.json", "merges.txt", TOKENIZER} <= {*asked[0][2]}
    assert all("safetensors" in name for name in asked[1][2])


def spoilt(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def changed(**values: Any) -> Callable[[Path], None]:
    return partial(spoilt, **values)


@pytest.mark.parametrize(
    ("case", "spoil", "message"),
    [
        ("gpt2", without_weights, "model.safetensors is missing"),
        ("gpt2", pickled, "its weights are pickled (pytorch_model.bin)"),
        ("gpt2", cut, "not readable as safetensors"),
        ("gpt2", without_config, "has neither genome.yaml nor config.json"),
        ("gpt2", changed(model_type="bert"), "model_type='bert': expected one of llama"),
        ("gpt2", changed(model_type=["gpt2"]), "model_type=['gpt2']: expected one of llama"),
        (
            "gpt2",
            changed(model_type="own", auto_map={"AutoModelForCausalLM": "own.Own"}),
            "code of its own (auto_map) is not run",
        ),
        ("gpt2", changed(architectures=["GPT2ForSequenceClassification"]), "expected GPT2LMHead"),
        ("gpt2", changed(quantization_config={"bits": 4}), "expected weights that are not quant"),
        ("gpt2", changed(add_cross_attention=True), "add_cross_attention=True: expected False"),
        ("gpt2", changed(n_layer=0), "num_hidden_layers=0: expected 1 to 1,000"),
        ("gpt2", changed(n_layer=10**30), "0: expected 1 to 1,000"),
        ("gpt2", changed(n_layer=5), "missing transformer.h.4"),
        ("gpt2", changed(n_embd="wide"), "config.json: Validation error for field 'n_embd"),
        ("gpt2", changed(n_head=5), "its weights cannot be read"),
        (
            "qwen2",
            changed(layer_types=["full_attention", "sliding_attention"] * 2),
            "layer_types has sliding_attention: expected full_attention alone",
        ),
        (
            "llama_yarn",
            changed(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
            "rope_parameters.rope_type=dynamic: expected default, linear, llama3, yarn",
        ),
    ],
)
def test_folders_that_are_no_component(
    case: str, spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    foreign(case).save_pretrained(tmp_path / "theirs")
    spoil(tmp_path / "theirs")
    with pytest.raises(UserError) as refused:
        open_component(str(tmp_path / "theirs"))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_what_no_genome_and_no_row_is_says_the_key_that_differs(tmp_path: Path) -> None:
    theirs = their_model("mamba")
    theirs.config.use_bias = True
    theirs.config.save_pretrained(tmp_path / "theirs")
    with pytest.raises(UserError, match=r"use_bias=True: expected False; no genome is this"):
        open_component(str(tmp_path / "theirs"))


def test_a_hybrid_is_no_component(tmp_path: Path) -> None:
    save_ours(tmp_path / "ours")
    one = open_component(str(tmp_path / "ours"))
    alphabet = hybrid_of(tmp_path / "hybrid", one, one)
    genome = letters(alphabet, "2-0", "1-1")
    model = decode(genome, alphabet.hybrid.sizes)
    (tmp_path / "checkpoint").mkdir()
    save_checkpoint(
        tmp_path / "checkpoint", model, GenomeFile("tiny", genome), alphabet.hybrid.sizes
    )
    for name in ("hybrid", "checkpoint"):
        with pytest.raises(UserError, match="is a hybrid; expected components that are none"):
            open_component(str(tmp_path / name))


def test_a_folder_written_half_is_written_again(tmp_path: Path) -> None:
    """Damaged weights, those of another component, and what a killed process left."""
    save_ours(tmp_path / "ours")
    their_model("gpt2").save_pretrained(tmp_path / "theirs")
    opened = open_components([str(tmp_path / "ours"), str(tmp_path / "theirs")])
    alphabet = hybrid_of(tmp_path / "hybrid", *opened)
    files = [tmp_path / "hybrid" / COMPONENTS / f"{number}.safetensors" for number in range(2)]
    whole = [path.read_bytes() for path in files]
    files[0].write_bytes(whole[0][: len(whole[0]) // 2])
    files[1].write_bytes(whole[0])
    left = files[0].with_name(f".{files[0].name}.999999999")
    left.write_bytes(b"half")
    assert hybrid_of(tmp_path / "hybrid", *opened) == alphabet
    assert [path.read_bytes() for path in files] == whole
    assert not left.exists()


def test_weights_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    save_ours(tmp_path / "ours")
    one = open_component(str(tmp_path / "ours"))
    hybrid_of(tmp_path / "hybrid", one, one)
    path = tmp_path / "hybrid" / COMPONENTS / "0.safetensors"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    hybrid_of(tmp_path / "hybrid", one, one)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert read_tensors(path)[1] == {"digest": one.component.digest}


@pytest.mark.slow
@torch.no_grad()
def test_padded_vocabularies_are_cut_to_the_smallest(tmp_path: Path) -> None:
    """Their logits of the tokens that stay are the same."""
    tokenizer = train_bpe(TEXTS, 300)
    size = tokenizer.vocabulary
    models = {
        "padded": foreign("gpt2", vocab_size=size + 19),
        "tied": foreign("llama_yarn", vocab_size=size + 5),
        "head": foreign("gpt_neox", vocab_size=size + 3),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        tokenizer.save(tmp_path / name)
    save_ours(tmp_path / "ours", vocabulary=size + 8, tie_embeddings=False)
    tokenizer.save(tmp_path / "ours")
    names = [*models, "ours"]
    opened = open_components([str(tmp_path / name) for name in names])
    assert {one.component.vocabulary for one in opened} == {size + 3}
    alphabet = hybrid_of(tmp_path / "hybrid", *opened, parts=1)
    kept = (tmp_path / "hybrid" / TOKENIZER).read_text()
    assert kept == tokenizer.content
    tokens = torch.randint(size, (2, 9))
    for number, theirs in enumerate(models.values()):
        mixture = "-".join(str(int(other == number)) for other in range(len(names)))
        genome = letters(alphabet, mixture, mixture)
        model = decode(genome, alphabet.hybrid.sizes).eval()
        expected = theirs(tokens).logits[..., : size + 3]
        close(model(tokens), expected)
        costs_are_predicted(genome, model, in_steps(model, torch.zeros(2, CONTEXT).long())[1])


def test_a_vocabulary_without_all_tokens_is_refused(tmp_path: Path) -> None:
    tokenizer = train_bpe(TEXTS, 300)
    foreign("gpt2", vocab_size=tokenizer.vocabulary - 1).save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    with pytest.raises(UserError, match=r"its tokenizer has \d+ tokens, the model only"):
        open_component(str(tmp_path / "theirs"))


def test_components_of_other_tokenizers_are_refused(tmp_path: Path) -> None:
    """Bytes and subwords, and two of subwords: one line that says in what they differ."""
    first, second = train_bpe(TEXTS, 300), train_bpe([*TEXTS, b"something else"], 290)
    for name, tokenizer in (("first", first), ("second", second)):
        foreign("gpt2", vocab_size=300).save_pretrained(tmp_path / name)
        tokenizer.save(tmp_path / name)
    foreign("gpt2").save_pretrained(tmp_path / "bytes")
    opened = {name: open_component(str(tmp_path / name)) for name in ("first", "second", "bytes")}
    for name, message in (
        ("second", f"differ in vocabulary ({first.vocabulary} and {second.vocabulary} tokens)"),
        ("bytes", f"differ in their kind ({first.vocabulary} tokens and bytes)"),
    ):
        with pytest.raises(UserError) as refused:
            expect_one_tokenizer(["first", name], [opened["first"], opened[name]])
        assert message in str(refused.value)


def test_positions_beyond_those_that_it_knows_are_refused(tmp_path: Path) -> None:
    foreign("gpt2").save_pretrained(tmp_path / "theirs")
    one = open_component(str(tmp_path / "theirs"))
    alphabet = hybrid_of(tmp_path, one, one)
    model = decode(letters(alphabet, "2-0", "2-0"), alphabet.hybrid.sizes)
    assert model(torch.zeros(1, 64, dtype=torch.int64)).isfinite().all()
    with pytest.raises(UserError, match="knows 64 positions, not 65; use a shorter context"):
        model(torch.zeros(1, 65, dtype=torch.int64))
