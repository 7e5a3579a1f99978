"""`star.export`: what transformers loads is what was trained, in every form of generation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from star.exporting.tokenizer import byte_tokenizer
from star.genomes import Genome, GenomeFile, ModelConfig
from star.models import Cache, LanguageModel, load_checkpoint, save_checkpoint
from star.models.generation import Sampling, generate
from star.models.hugging_face.causal_lm import first_columns
from star.models.hugging_face.native import FAMILIES, as_native, family_of
from tests.exporting.families import family_here
from tests.exporting.small_models import disturbed, generated, ours, prompts, random_genomes, sizes

Command = Callable[..., Any]
PREFIXES = {family.name: family.prefix for family in FAMILIES}
NATIVE = {
    "Llama": ("1.1.1.1.1-9.1.1.1.1", "3.1.1.1.1-9.1.1.1.1-3.1.1.1.1-9.1.1.1.1"),
    "Mistral": ("19.1.1.1.1-9.1.1.1.1", "35.1.1.1.1-9.1.1.1.1"),
    "Qwen3": ("26.1.1.1.1-9.1.1.1.1-26.1.1.1.1-9.1.1.1.1",),
    "LFM2": (
        "25.1.1.1.1-9.1.1.1.1-7.1.1.1.1-9.1.1.1.1",
        "36.1.1.1.1-9.1.1.1.1-24.1.1.1.1-9.1.1.1.1",
    ),
    "LFM3": ("36.1.1.1.1-9.1.1.1.1-31.1.1.1.1-9.1.1.1.1-32.1.1.1.1-9.1.1.1.1",),
    "Mamba": ("5.1.1.1.1-5.1.1.1.1", "6.1.1.1.1"),
    "Mamba-2": ("23.1.1.1.1-23.1.1.1.1",),
    "Nemotron-H": ("29.1.1.1.1-23.1.1.1.1-42.1.1.1.1", "28.1.1.1.1"),
    "OLMo-Hybrid": (
        "44.1.1.1.1-9.1.1.1.1-46.1.1.1.1-9.1.1.1.1-44.1.1.1.1-9.1.1.1.1",
        "45.1.1.1.1-9.1.1.1.1-44.1.1.1.1-9.1.1.1.1",
    ),
}


def check_all_forms(genome: Genome, folder: Path) -> None:
    """Logits, and greedy tokens with and without cache, of unequal prompts, and of beams."""
    model = ours(genome, tie_embeddings=len(str(genome)) % 2 == 0)
    model.save_pretrained(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    tokens, mask = prompts(9, 5)
    whole = tokens.clone()
    whole[mask == 0] = 1
    with torch.no_grad():
        expected = model.model(whole)
        torch.testing.assert_close(loaded(whole).logits, expected, rtol=0, atol=1e-4)
    together = generated(loaded, tokens, mask)
    assert torch.equal(together, generated(loaded, tokens, mask, use_cache=False))
    alone = generated(loaded, tokens[1:, 4:], mask[1:, 4:])
    assert torch.equal(together[1, 4:], alone[0])
    cache = Cache.allocate(model.model, context=5 + 64)
    following = generate(model.model, cache, tokens[1, 4:].tolist(), Sampling(temperature=0))
    assert alone[0, 5:].tolist() == list(following)[:64]
    beams = {"num_beams": 3, "max_new_tokens": 8}
    for how in (beams, {"do_sample": True, "max_new_tokens": 8}):
        torch.manual_seed(0)
        with_cache = generated(loaded, tokens, mask, **how)
        torch.manual_seed(0)
        assert torch.equal(with_cache, generated(loaded, tokens, mask, use_cache=False, **how))


@pytest.mark.slow
@pytest.mark.parametrize("genome", random_genomes(6, seed=0), ids=str)
def test_a_genome_loads_and_generates_as_it_was(genome: Genome, tmp_path: Path) -> None:
    check_all_forms(genome, tmp_path)


@pytest.mark.slow
def test_a_hundred_genomes_load_and_generate_as_they_were(tmp_path: Path) -> None:
    for number, genome in enumerate(random_genomes(100, seed=1)):
        check_all_forms(genome, tmp_path / str(number))


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in NATIVE.items() for t in ts])
def test_native_models_compute_the_same(name: str, text: str, tied: bool) -> None:
    torch.manual_seed(0)
    norms = family_here(PREFIXES[name]).norms
    genome = Genome.from_text(text, "released")
    place = "pre" if "pre" in norms else next(iter(norms))
    own = sizes(width=64, tie_embeddings=tied, rope_base=500.0, norm_eps=0.01, norms=place)
    model = disturbed(LanguageModel(genome, own))
    family = family_of(genome, own)
    assert family is not None and family.name == name
    theirs = as_native(family, model, genome, own, context=64)
    tokens = prompts(37, 37)[0]
    expected = model(tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(theirs(tokens).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1.1", "1.1.1.1.1-9.1.1.1.1-3.1.1.1.1-9.1.1.1.1", "5.1.2.1.1-5.1.2.1.1"),
        *("7.1.1.1.1", "7.1.1.1.1-9.1.1.1.1", "7.1.1.1.1-9.1.1.1.1-1.1.1.1.1-9.1.1.1.1"),
        "25.1.1.1.1-9.1.1.1.1-26.1.1.1.1-9.1.1.1.1",
    ],
)
def test_what_no_family_holds(text: str) -> None:
    """Half a layer, unequal layers, tied weights, another operator, no attention at all."""
    assert family_of(Genome.from_text(text, "released"), sizes(width=64)) is None
    assert {family.name for family in FAMILIES} == NATIVE.keys()


@pytest.mark.parametrize("mixers", [(44,), (46,), (45, 46), (44, 45, 46)])
def test_an_olmo_hybrid_has_delta_rules_and_attention_of_one_kind(mixers: tuple[int, ...]) -> None:
    family_here("OlmoHybrid")
    text = "-".join(f"{mixer}.1.1.1.1-9.1.1.1.1" for mixer in mixers)
    own = sizes(width=64, norms="post_attention")
    assert family_of(Genome.from_text(text, "released"), own) is None


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("1.1.1.1.1-9.1.1.1.1", {"attention_width": 80}),  # 5 heads do not divide the width
        ("7.1.1.1.1-9.1.1.1.1-25.1.1.1.1-9.1.1.1.1", {"attention_width": 128}),
        ("5.1.1.1.1", {"recurrent_width": 96}),
        ("5.1.1.1.1", {"norms": "post"}),
        ("1.1.1.1.1-9.1.1.1.1", {"norms": "sandwich"}),
        ("31.1.1.1.1-9.1.1.1.1", {"norms": "post"}),
        ("1.1.1.1.1-9.1.1.1.1", {"residual_scale": 0.5}),
        ("31.1.1.1.1-9.1.1.1.1", {"rope_factor": 2.0}),
        ("1.1.1.1.1-9.1.1.1.1", {"norms": "post_attention"}),
    ],
)
def test_sizes_that_no_family_has(text: str, own: dict[str, Any]) -> None:
    genome = Genome.from_text(text, "released")
    if text.startswith("31."):
        family_here("Lfm3")
    assert family_of(genome, sizes(width=64)) is not None
    assert family_of(genome, sizes(width=64, **own)) is None


def test_padding() -> None:
    model = ours(Genome.from_text("1.1.1.1.1-5.1.1.1.1-7.1.1.1.1", "extended"))
    tokens, mask = prompts(9, 5)
    with torch.no_grad():
        together = model(tokens, attention_mask=mask).logits
        torch.testing.assert_close(together[1:, 4:], model(tokens[1:, 4:]).logits)
        assert not together[1, :4].any()
        right = model(tokens.flip(1), attention_mask=mask.flip(1)).logits
        torch.testing.assert_close(right[1:, :5], model(tokens.flip(1)[1:, :5]).logits)
        loss = model(tokens, attention_mask=mask, labels=tokens).loss
        kept = model(tokens, attention_mask=mask, logits_to_keep=1).logits
    ends = [(0, 0), (1, 4)]
    parts = [(together[r, s:-1], tokens[r, s + 1 :]) for r, s in ends]
    losses = torch.cat([torch.nn.functional.cross_entropy(*p, reduction="none") for p in parts])
    torch.testing.assert_close(loss, losses.mean())
    assert torch.equal(kept, together[:, -1:])
    with pytest.raises(ValueError, match="padding between tokens"):
        first_columns(tokens, torch.tensor([[1, 0, 1, 1, 1, 1, 1, 1, 1]] * 2))


def test_training_through_it_changes_the_shared_weights() -> None:
    genome = Genome.from_text("11211-91111-11211-91111")
    model = ours(genome)
    tokens = prompts(9, 5)[0]
    model(tokens, labels=tokens).loss.backward()
    assert all(weights.grad is not None for weights in model.parameters())
    assert len(model._tied_weights_keys) == 3


@given(st.text())
def test_the_tokens_are_the_bytes(text: str) -> None:
    tokenizer = byte_tokenizer()
    tokens = tokenizer(text)["input_ids"]
    assert tokens == list(text.encode()) and tokenizer.decode(tokens) == text


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of LFM2's design with byte tokens."""
    folder = tmp_path_factory.mktemp("checkpoint") / "run"
    folder.mkdir()
    torch.manual_seed(0)
    genome, own = Genome.from_text("71111-91111-31112-91111-31112-91111"), ModelConfig(width=32)
    settings = {"training": {"steps": 7}, "cache": {"context": 640}}
    file = GenomeFile("mine", genome, settings=settings)
    save_checkpoint(folder, disturbed(LanguageModel(genome, own)), file, own)
    (folder / "evaluation.json").write_text('{"validation_loss": 1.25}')
    return folder


def test_the_command(checkpoint: Path, command: Command, tmp_path: Path) -> None:
    result = command("export", f"checkpoint={checkpoint}", "to=deep/exported")
    assert result.returncode == 0, result.stderr
    assert "mine as StarForCausalLM in" in result.stdout
    folder = tmp_path / "deep" / "exported"
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]
    card = (folder / "README.md").read_text()
    for text in ("validation_loss | 1.25", "cache at 640 positions", "| steps | 7 |", "GConv-1"):
        assert text in card
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["def main(", "Ā"], return_tensors="pt", padding=True)
    expected = load_checkpoint(checkpoint).model(batch["input_ids"][:1])
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits[:1], expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_fresh_process_elsewhere_loads_it(
    checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    assert command("export", f"checkpoint={checkpoint}", "to=exported").returncode == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    load = "AutoModelForCausalLM.from_pretrained({!r}{})".format
    for first, trusted in (
        ("import star.models.hugging_face.causal_lm", ""),
        ("", ", trust_remote_code=True"),
    ):
        lines = [
            first, "import torch", "from transformers import AutoModelForCausalLM",
            f"model = {load(str(tmp_path / 'exported'), trusted)}",
            "print(model(torch.arange(9)[None]).logits.double().sum().item())",
        ]  # fmt: skip
        environment = {**os.environ, "HF_HOME": str(elsewhere / "hub"), "HF_HUB_OFFLINE": "1"}
        found = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)], cwd=elsewhere, env=environment,
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        with torch.no_grad():
            expected = load_checkpoint(checkpoint).model(torch.arange(9)[None]).double().sum()
        assert float(found.stdout) == pytest.approx(float(expected), abs=1e-2)


BESIDE_KERNELS = """
import sys
if {blocked}:
    sys.modules["kernels"] = None
import torch
from transformers import AutoModelForCausalLM
tokens = torch.arange(9)[None]
load = AutoModelForCausalLM.from_pretrained
logits = [load({folder!r}, trust_remote_code=True)(tokens).logits]
import star.models.hugging_face.causal_lm
logits.append(load({folder!r})(tokens).logits)
torch.save(logits, {result!r})
if not {blocked}:
    import kernels
    import star.kernels
    from star.kernels.gated_short_conv import gated_short_conv
    print(kernels.get_kernel.__module__, kernels.__file__, *star.kernels.__path__, sep="\\n")
"""


def has_kernels() -> bool:
    """Whether Hugging Face's `kernels` is installed, which our folder of that name is not."""
    found = find_spec("kernels")
    return found is not None and found.origin is not None


@pytest.mark.slow
@pytest.mark.skipif(not has_kernels(), reason="Hugging Face's kernels is not installed")
def test_hugging_faces_kernels_beside_ours(
    checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    """Neither hides the other, and logits are the same to the bit."""
    assert command("export", f"checkpoint={checkpoint}", "to=exported").returncode == 0
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    logits: list[torch.Tensor] = []
    for blocked in (True, False):
        result = str(tmp_path / "logits.pt")
        code = BESIDE_KERNELS.format(
            blocked=blocked, folder=str(tmp_path / "exported"), result=result
        )
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False, timeout=240,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        logits += torch.load(result, weights_only=True)
    assert len(logits) == 4 and logits[0].std() > 0.1
    assert all(torch.equal(logits[0], others) for others in logits[1:])
    module, theirs, ours = found.stdout.splitlines()
    spec = find_spec("kernels")
    assert module.startswith("kernels.") and spec is not None and theirs == spec.origin
    assert Path(theirs).parent != Path(ours) and (Path(ours) / "gated_short_conv").is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=nowhere"], "checkpoint=nowhere: no such folder"),
        (["to=there"], "to=there: exists already; choose another folder"),
        (["format=onnx"], "format=onnx: expected one of auto, native, star"),
        (
            ["format=native"],
            "format=native: the genome is none of Llama, Mistral, Qwen3, LFM2, LFM3",
        ),
        (["context=0"], "context=0: expected at least 1 position"),
    ],
)
def test_mistakes(
    checkpoint: Path, command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    given = {"checkpoint": str(checkpoint), "to": "new"}
    given |= dict(argument.split("=", 1) for argument in arguments)
    result = command("export", *(f"{key}={value}" for key, value in given.items()))
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there" / "mine.txt").read_text() == "mine"


def test_without_transformers(
    checkpoint: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star.base.imports.find_spec", lambda name: None)
    result = command("export", f"checkpoint={checkpoint}", "to=new")
    assert result.returncode == 2 and "pip install transformers" in result.stderr


def test_an_evaluation_that_cannot_be_read(checkpoint: Path, command: Command) -> None:
    path = checkpoint / "evaluation.json"
    before = path.read_text()
    path.write_text("{")
    result = command("export", f"checkpoint={checkpoint}", "to=new")
    path.write_text(before)
    assert result.returncode == 2 and "evaluation.json: cannot be read" in result.stderr
    assert json.loads(before)
