"""`star.adopt` and the families of `star.export`: models of transformers as ours, and back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from star.exporting.tokenizer import byte_tokenizer
from star.genomes import (
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    check_fits,
    parameter_count,
)
from star.models import Cache, LanguageModel, decode, load_checkpoint, save_checkpoint
from star.models.hugging_face.family import Family
from star.models.hugging_face.native import (
    FAMILIES,
    as_native,
    copy_theirs,
    family_of,
    genome_of,
    read_configuration,
)
from tests.exporting.families import NAMED, family_here

Command = Callable[..., Any]
VOCABULARY = 48
TRANSFORMER = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 104, "rms_norm_eps": 1e-3,
}  # fmt: skip
# Of the 8 pairs of channels of a head, some are slowed in full, some not at all, one in between.
SCALED = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 40, "rope_theta": 500.0,
}  # fmt: skip
HYBRID = {**TRANSFORMER, "num_hidden_layers": 4, "norm_eps": 1e-3}
NEMOTRON = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16,
    "mamba_num_heads": 8, "mamba_head_dim": 24, "ssm_state_size": 64, "n_groups": 1,
    "time_step_min": 1e-7, "intermediate_size": 104, "layer_norm_epsilon": 1e-3,
}  # fmt: skip
OLMO = {**TRANSFORMER, "num_key_value_heads": 4, "num_hidden_layers": 4}
# Tiny configurations of every family by name, of sizes that do not follow from each other.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**TRANSFORMER, "rope_theta": 500.0}),
    "llama_x3": ("Llama", {
        **TRANSFORMER, "hidden_size": 96, "num_attention_heads": 6, "tie_word_embeddings": True,
    }),
    "llama_x8": ("Llama", {
        **TRANSFORMER, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 16,
    }),
    "llama_scaled": ("Llama", {**TRANSFORMER, "rope_parameters": SCALED}),
    "llama_linear": ("Llama", {
        **TRANSFORMER, "rope_scaling": {"type": "linear", "factor": 2.5}, "rope_theta": 500.0,
    }),
    "mistral": ("Mistral", {**TRANSFORMER, "num_key_value_heads": 1, "sliding_window": 7}),
    "mistral_x2": ("Mistral", {**TRANSFORMER, "sliding_window": 5, "head_dim": 32}),
    "mistral_scaled": ("Mistral", {
        **TRANSFORMER, "sliding_window": 50, "rope_parameters": SCALED,
    }),
    "qwen3": ("Qwen3", {**TRANSFORMER, "head_dim": 32, "tie_word_embeddings": True}),
    "qwen3_window": ("Qwen3", {
        **TRANSFORMER, "num_key_value_heads": 1, "head_dim": 16, "use_sliding_window": True,
        "sliding_window": 5, "max_window_layers": 1,
    }),
    "qwen3_scaled": ("Qwen3", {**TRANSFORMER, "head_dim": 16, "rope_parameters": SCALED}),
    "lfm2": ("Lfm2", {
        **HYBRID, "layer_types": ["conv", "full_attention", "full_attention", "conv"],
        "intermediate_size": 100, "block_multiple_of": 24, "rope_theta": 500.0,
    }),
    "lfm2_scaled": ("Lfm2", {
        **HYBRID, "layer_types": ["conv", "full_attention"] * 2, "rope_parameters": SCALED,
        "block_auto_adjust_ff_dim": False,
    }),
    "lfm2_taps": ("Lfm2", {
        **HYBRID, "layer_types": ["conv", "conv", "full_attention", "conv"], "conv_L_cache": 7,
        "block_auto_adjust_ff_dim": False,
    }),
    "lfm3": ("Lfm3", {
        **HYBRID, "layer_types": ["conv", "sliding_attention", "full_attention", "conv"],
        "num_key_value_heads": 1, "head_dim": 32,
    }),
    "lfm3_pre": ("Lfm3", {
        **HYBRID, "layer_types": ["full_attention", "conv", "conv", "conv"], "conv_L_cache": 3,
        "num_key_value_heads": 1, "head_dim": 16, "use_sandwich_norm": False,
    }),
    "mamba": ("Mamba", {"hidden_size": 64, "num_hidden_layers": 2, "layer_norm_epsilon": 1e-3}),
    "mamba_small": ("Mamba", {
        "hidden_size": 48, "num_hidden_layers": 2, "state_size": 2, "expand": 1,
        "tie_word_embeddings": False,
    }),
    "mamba2": ("Mamba2", {
        "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 32, "n_groups": 1,
        "state_size": 64, "chunk_size": 16,
    }),
    "mamba2_large": ("Mamba2", {
        "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 16, "n_groups": 1,
        "tie_word_embeddings": True, "chunk_size": 16,
    }),
    "mamba2_groups": ("Mamba2", {
        "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 16, "n_groups": 4,
        "chunk_size": 16,
    }),
    "olmo_hybrid": ("OlmoHybrid", {
        **OLMO, "rope_parameters": {"rope_type": "default", "rope_theta": None},
    }),
    "olmo_hybrid_rope": ("OlmoHybrid", {
        **OLMO, "layer_types": ["full_attention", "full_attention", "linear_attention"],
        "num_hidden_layers": 3, "rope_theta": 500.0, "tie_word_embeddings": True, "head_dim": 32,
        "linear_num_value_heads": 6, "linear_num_key_heads": 6, "linear_key_head_dim": 10,
    }),
    "olmo_hybrid_scaled": ("OlmoHybrid", {**OLMO, "rope_parameters": SCALED}),
    "nemotron_h": ("NemotronH", {
        **NEMOTRON, "layers_block_type": ["linear_attention", "full_attention"] * 2,
    }),
    "nemotron_h_mlp": ("NemotronH", {
        **NEMOTRON, "layers_block_type": ["mlp", "linear_attention", "mlp", "full_attention"],
        "num_key_value_heads": 4, "ssm_state_size": 128,
    }),
    "nemotron_h_groups": ("NemotronH", {
        **NEMOTRON, "layers_block_type": ["linear_attention", "mlp", "full_attention"],
        "ssm_state_size": 128, "n_groups": 8,
    }),
}  # fmt: skip
cases = pytest.mark.parametrize("case", CASES)


def disturbed(model: Any) -> Any:
    """No weight is zero or one any more."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    return model.eval()


def configuration(case: str, **changed: Any) -> tuple[Family, Any]:
    """A family, and a configuration of its."""
    prefix, own = CASES[case]
    family = family_here(prefix)
    tokens = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    return family, family.class_of("Config")(
        **{"vocab_size": VOCABULARY, "max_position_embeddings": 640, **tokens, **own, **changed}
    )


def theirs(case: str, **changed: Any) -> Any:
    """A tiny model of theirs."""
    torch.manual_seed(0)
    family, config = configuration(case, **changed)
    return disturbed(family.class_of("ForCausalLM")(config))


def random_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, shape, generator=torch.Generator().manual_seed(1))


def ran(command: Command, verb: str, *arguments: str) -> str:
    result = command(verb, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@cases
def test_a_model_of_theirs_becomes_ours_and_theirs_again(
    case: str, command: Command, tmp_path: Path
) -> None:
    """Logits, beyond every window; weights and configuration as they were, to the bit."""
    model = theirs(case)
    model.save_pretrained(tmp_path / "Their-1.0B")
    said = ran(command, "adopt", "model=Their-1.0B", "to=ours")
    checkpoint = load_checkpoint(tmp_path / "ours")
    count = parameter_count(checkpoint.genome.genome, checkpoint.config)
    assert f"{count.non_embedding:,} parameters" in said and "their_1_0b (" in said
    tokens = random_tokens(2, 300)
    with torch.no_grad():
        expected, found = model(tokens).logits, checkpoint.model.eval()(tokens)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    ran(command, "export", "checkpoint=ours", "to=back", "format=native")
    first, second = (load_file(tmp_path / f / "model.safetensors") for f in ("Their-1.0B", "back"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert type(again) is type(model)
    assert read_configuration(NAMED[CASES[case][0]], again.config)[1] == checkpoint.config


def generated(model: Any, tokens: torch.Tensor, mask: torch.Tensor, **how: Any) -> torch.Tensor:
    how = {"max_new_tokens": 64, "do_sample": False, "pad_token_id": 0, **how}
    return model.generate(tokens, attention_mask=mask, **how)


def greedy(ours: LanguageModel, prompt: torch.Tensor, count: int) -> list[int]:
    """The likeliest tokens, with our cache."""
    cache = Cache.allocate(ours, 1, prompt.shape[1] + count)
    logits = ours.prefill(prompt, cache)[:, -1]
    tokens = []
    for _ in range(count):
        tokens.append(int(logits.argmax()))
        logits = ours.step(torch.tensor(tokens[-1:]), cache)
    return tokens


@pytest.mark.slow
@cases
def test_both_generate_the_same(case: str) -> None:
    """64 greedy tokens with and without cache, of unequal prompts together, and three beams."""
    model = theirs(case)
    genome, sizes = read_configuration(*configuration(case))
    family = family_of(genome, sizes)
    assert family is not None
    ours = decode(genome, sizes).eval()
    copy_theirs(NAMED[CASES[case][0]], ours, model)
    exported = as_native(family, ours, genome, sizes, 640)
    tokens = random_tokens(2, 9)
    mask = torch.ones_like(tokens)
    mask[1, :4] = 0
    tokens = tokens * mask
    together = generated(exported, tokens, mask)
    assert torch.equal(together, generated(exported, tokens, mask, use_cache=False))
    assert together[0, 9:].tolist() == greedy(ours, tokens[:1], 64)
    assert together[1, 9:].tolist() == greedy(ours, tokens[1:, 4:], 64)
    beams = {"num_beams": 3, "max_new_tokens": 16}
    with_cache = generated(exported, tokens, mask, **beams)
    assert torch.equal(with_cache, generated(exported, tokens, mask, use_cache=False, **beams))


@pytest.mark.slow
def test_a_fresh_process_elsewhere_loads_every_family(command: Command, tmp_path: Path) -> None:
    """Without STAR, with another working directory, after the folders have been moved, and saves it
    as its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tokens = random_tokens(2, 40)
    expected = {}
    for case in CASES:
        theirs(case).save_pretrained(tmp_path / case)
        ran(command, "adopt", f"model={case}", f"to=ours_{case}")
        ran(command, "export", f"checkpoint=ours_{case}", f"to=out_{case}", "format=native")
        shutil.move(tmp_path / f"out_{case}", elsewhere / case)
        with torch.no_grad():
            expected[case] = load_checkpoint(tmp_path / f"ours_{case}").model(tokens)
    lines = [
        "import sys, torch", "from safetensors.torch import save_file",
        "from transformers import AutoModelForCausalLM",
        f"tokens = torch.tensor({tokens.tolist()})", f"cases = {list(CASES)}",
        "for c in cases: AutoModelForCausalLM.from_pretrained(c).save_pretrained('again/' + c)",
        "again = {c: AutoModelForCausalLM.from_pretrained('again/' + c) for c in cases}",
        "found = {c: model(tokens).logits for c, model in again.items()}",
        "assert not any(name.split('.')[0] == 'star' for name in sys.modules)",
        "save_file(found, 'found.safetensors')",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HOME": str(elsewhere / "hub"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=elsewhere, env=environment,
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = load_file(elsewhere / "found.safetensors")
    for case, logits in expected.items():
        torch.testing.assert_close(found[case], logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60)
def test_a_configuration_says_what_the_genome_is(data: st.DataObject) -> None:
    """Of any genome and sizes of a family, the configuration gives both back."""
    family = data.draw(st.sampled_from(FAMILIES))
    design = data.draw(st.sampled_from(family.designs))
    letters = {name for layer in design for name in layer}
    layers = data.draw(st.lists(st.sampled_from(list(design)), min_size=1, max_size=5))
    genome = genome_of([name for layer in layers for name in layer])
    multiple, one = st.integers(1, 40), data.draw(st.sampled_from([4, 8, 24, 32]))
    sizes = ModelConfig(
        width=16 * data.draw(st.integers(1, 8)),
        vocabulary=data.draw(st.integers(1, 10**6)),
        tie_embeddings=data.draw(st.booleans()) and family.prefix != "NemotronH",
        norm_eps=data.draw(st.floats(1e-8, 0.5)),
        head_width=data.draw(st.sampled_from([None, one])),
        attention_width=data.draw(st.sampled_from([None, 8 * one * data.draw(multiple)])),
        recurrent_width=data.draw(st.sampled_from([None, 8 * one * data.draw(multiple)])),
        feed_forward_width=data.draw(st.sampled_from([None, 8 * data.draw(multiple)])),
        recurrent_head_width=data.draw(st.sampled_from([None, 8])),
        recurrent_groups=data.draw(st.sampled_from([None, 1, 2, 8])),
        norms=data.draw(st.sampled_from(sorted(family.norms))),
    )
    assume(_can_be_had(genome, sizes) and family_of(genome, sizes) is family)
    config = family.configuration(genome.classes(), sizes, 640)
    again, found = read_configuration(family, config)
    assert again == genome or "Window-256" in letters  # read as a window of the sizes
    assert parameter_count(again, found) == parameter_count(genome, sizes)
    for name in ("norm_eps", "vocabulary", "norms", "tie_embeddings"):
        assert getattr(found, name) == getattr(sizes, name)


def _can_be_had(genome: Genome, sizes: ModelConfig) -> bool:
    try:
        check_fits(genome, sizes)
    except GenomeError:
        return False
    return True


@pytest.mark.parametrize(
    ("case", "changed", "message"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu': expected 'silu'"),
        ("llama", {"attention_bias": True}, "attention_bias=True: expected False"),
        ("llama", {"mlp_bias": True}, "mlp_bias=True: expected False"),
        (
            "llama",
            {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
            "rope_parameters.rope_type='yarn': expected one of default, linear, llama3",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            "rope_parameters.partial_rotary_factor=0.5: expected 1",
        ),
        (
            "llama",
            {"rope_parameters": {**SCALED, "low_freq_factor": 4.0}},
            "model.rope_low_factor=4.0: expected less than model.rope_high_factor=4.0",
        ),
        (
            "llama_x3",
            {"num_attention_heads": 12, "num_key_value_heads": 2},
            "num_attention_heads=12 and num_key_value_heads=2: expected 1, 2, 3, 4, 8 query heads",
        ),
        ("llama", {"hidden_size": 72}, "model.width=72: expected a multiple of 16 below 256"),
        ("llama", {"head_dim": 10}, "model.head_width=10: expected a multiple of 4"),
        ("llama", {"intermediate_size": 100}, "model.feed_forward_width=100: expected a multiple"),
        ("lfm2", {"conv_bias": True}, "conv_bias=True: expected False"),
        ("lfm2", {"layer_types": ["conv"] * 4}, "no layer is attention: expected one"),
        ("lfm2", {"conv_L_cache": 4}, "conv_L_cache=4: expected one of 3, 7"),
        ("lfm3", {"use_attention_gate": False}, "use_attention_gate=False: expected True"),
        ("lfm3", {"sliding_window": 9}, "sliding_window=9: expected 256"),
        ("lfm3", {"num_key_value_heads": 2}, "num_key_value_heads=2: expected a quarter of"),
        ("mamba", {"use_bias": True}, "use_bias=True: expected False"),
        ("mamba", {"state_size": 8}, "state_size=8: expected one of 16, 2"),
        ("mamba", {"time_step_rank": 3}, "time_step_rank=3: expected 4"),
        ("mamba", {"conv_kernel": 3}, "conv_kernel=3: expected 4"),
        ("mamba2", {"state_size": 32}, "state_size=32: expected one of 64, 128"),
        ("mamba2", {"n_groups": 3}, "model.recurrent_groups=3: SSD has 4 heads, expected a number"),
        ("mamba2", {"n_groups": 0}, "model.recurrent_groups=0: expected a whole number from 1"),
        (
            "mamba2",
            {"time_step_limit": (0.1, 1.0)},
            "time_step_limit=(0.1, 1.0): expected (0, inf)",
        ),
        ("olmo_hybrid", {"linear_allow_neg_eigval": False}, "linear_allow_neg_eigval=False: expec"),
        ("olmo_hybrid", {"linear_num_key_heads": 2}, "linear_num_key_heads=2: expected 4"),
        ("olmo_hybrid", {"linear_value_head_dim": 36}, "expected values twice as wide as keys"),
        (
            "olmo_hybrid",
            {"num_key_value_heads": 2},
            "num_key_value_heads=2: expected 1 query heads",
        ),
        ("nemotron_h", {"time_step_min": 0.001}, "time_step_min=0.001: expected at most 1e-06"),
        (
            "nemotron_h",
            {"layers_block_type": ["linear_attention", "moe"]},
            "layers_block_type=moe: expected one of linear_attention, mlp, full_attention",
        ),
        ("nemotron_h", {"ssm_state_size": 16}, "ssm_state_size=16: expected one of 64, 128"),
    ],
)
def test_what_no_genome_is(
    case: str, changed: dict[str, Any], message: str, command: Command, tmp_path: Path
) -> None:
    """The key and its value in one line; before weights are asked for."""
    configuration(case, **changed)[1].save_pretrained(tmp_path / "theirs")
    check_refused(command, tmp_path, message)


def check_refused(command: Command, folder: Path, message: str, *arguments: str) -> None:
    before = sorted(path.name for path in folder.iterdir())
    result = command("adopt", *(arguments or ("model=theirs", "to=ours")))
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def _changed_config(**changed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return change


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _outside(folder: Path) -> None:
    content = {"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def _adapted(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_weights, "model=theirs: model.safetensors is missing"),
        (_pickled, "its weights are pickled (pytorch_model.bin)"),
        (_cut, "not readable as safetensors"),
        (_broken_config, "config.json: cannot be read"),
        (_without_config, "config.json: is missing"),
        (_adapted, "adapter_config.json; expected a whole model"),
        (_outside, "expected names of files beside it in weight_map"),
        (_changed_config(model_type="gpt2"), "model_type='gpt2': expected one of llama, mistral"),
        (_changed_config(model_type=["llama"]), "model_type=['llama']: expected one of"),
        (_changed_config(architectures=["LlamaModel"]), "architectures=['LlamaModel']: expected"),
        (_changed_config(quantization_config={"bits": 4}), "expected weights that are not quant"),
        (
            _changed_config(hidden_size="wide"),
            "config.json: Validation error for field 'hidden_size",
        ),
        (
            _changed_config(num_hidden_layers=3),
            "not those of its config.json: missing model.layers.2",
        ),
        (_changed_config(num_hidden_layers=1), "config.json: unexpected model.layers.1"),
        (
            _changed_config(intermediate_size=96),
            "mismatched ('model.layers.0.mlp.down_proj.weight'",
        ),
        (_changed_config(max_position_embeddings=2**70), "cache.context=1180591620717411303424"),
        (_changed_config(num_hidden_layers=0), "depth=0: expected 1 to 10,000 LIVs"),
    ],
)
def test_folders_that_cannot_be_read(
    spoil: Callable[[Path], None], message: str, command: Command, tmp_path: Path
) -> None:
    theirs("llama").save_pretrained(tmp_path / "theirs")
    spoil(tmp_path / "theirs")
    check_refused(command, tmp_path, message)


def test_code_and_kernels_that_a_configuration_names_are_not_fetched(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs("llama").save_pretrained(tmp_path / "theirs")
    kernels = dict.fromkeys(("_attn_implementation", "attn_implementation"), "nobody/flash")
    code = {"AutoModelForCausalLM": "modeling.Bad"}
    _changed_config(**kernels, auto_map=code)(tmp_path / "theirs")
    (tmp_path / "theirs" / "modeling.py").write_text("raise SystemExit('was run')")
    asked: list[Any] = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: asked.append(a))
    ran(command, "adopt", "model=theirs", "to=ours")
    assert not asked


def test_arguments_that_cannot_be_used(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs("llama").save_pretrained(tmp_path / "theirs")
    for arguments, message in (
        (("model=nothing", "to=ours"), "model=nothing: no such folder, and no name on Hugging"),
        (("model=theirs/config.json", "to=ours"), "is a file, expected the folder that holds it"),
        (("model=theirs", "to=theirs"), "to=theirs: exists already; choose another folder"),
        (("to=ours",), "model: a value is required"),
    ):
        check_refused(command, tmp_path, message, *arguments)

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    message = "model=nobody/nothing: no such folder, and the hub did not give it (no network)"
    check_refused(command, tmp_path, message, "model=nobody/nothing", "to=ours")
    monkeypatch.setattr("star.base.imports.find_spec", lambda name: None)
    check_refused(command, tmp_path, "pip install transformers")


def test_a_model_of_the_hub(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration first; of its files, those that are needed and hold no code."""
    theirs("qwen3").save_pretrained(tmp_path / "cached")
    asked = []

    def download(name: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(tmp_path / "cached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    ran(command, "adopt", "model=Qwen/Qwen3-Tiny", "to=ours", "revision=v1")
    assert [(name, revision) for name, revision, _ in asked] == [("Qwen/Qwen3-Tiny", "v1")] * 2
    assert "config.json" in asked[0][2] and "model.safetensors" in asked[1][2]
    assert not any(p.endswith((".bin", ".py", "*")) for *_, names in asked for p in names)
    assert load_checkpoint(tmp_path / "ours").genome.name == "qwen3_tiny"


def test_a_model_that_cannot_be_run(command: Command, tmp_path: Path) -> None:
    theirs("mamba2").save_pretrained(tmp_path / "theirs")
    _changed_config(chunk_size=0)(tmp_path / "theirs")
    check_refused(command, tmp_path, "model=theirs: cannot be run (ZeroDivisionError")


def test_an_export_of_our_own_class_comes_back(command: Command, tmp_path: Path) -> None:
    """With what it shares."""
    torch.manual_seed(0)
    genome, sizes = Genome.from_text("11211-91111-11211-91111-71111"), ModelConfig(width=32)
    (tmp_path / "ours").mkdir()
    model = disturbed(LanguageModel(genome, sizes))
    save_checkpoint(tmp_path / "ours", model, GenomeFile("mine", genome), sizes)
    ran(command, "export", "checkpoint=ours", "to=theirs")
    ran(command, "adopt", "model=theirs", "to=back", "name=mine")
    back = load_checkpoint(tmp_path / "back")
    assert (back.genome.genome, back.genome.name, back.config) == (genome, "mine", sizes)
    for name, weights in model.named_parameters():
        assert torch.equal(back.model.get_parameter(name), weights)
    for changed, message in (
        ({"width": 20}, "config.json: model.width=20: expected a multiple"),
        ({"genome": "12345"}, "config.json: genome '12345': LIV 0"),
    ):
        _changed_config(**changed)(tmp_path / "theirs")
        check_refused(command, tmp_path, message, "model=theirs", "to=again")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_the_bytes_stay_half(dtype: torch.dtype, command: Command, tmp_path: Path) -> None:
    theirs("lfm2").to(dtype).save_pretrained(tmp_path / "theirs", max_shard_size="40KB")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 2
    ran(command, "adopt", "model=theirs", "to=ours")
    assert {w.dtype for w in load_file(tmp_path / "ours" / "model.safetensors").values()} == {dtype}
    ran(command, "export", "checkpoint=ours", "to=back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    for path in (tmp_path / "theirs").glob("*.safetensors"):
        for name, weights in load_file(path).items():
            assert weights.dtype == dtype and torch.equal(weights, back[name])


def test_several_dtypes_become_float32(command: Command, tmp_path: Path) -> None:
    """Nothing is rounded."""
    model = theirs("mamba").to(torch.bfloat16)
    for name, weights in model.named_parameters():
        if name.endswith("A_log"):
            weights.data = weights.data.float() + 1e-5
    model.save_pretrained(tmp_path / "theirs")
    ran(command, "adopt", "model=theirs", "to=ours")
    found = load_checkpoint(tmp_path / "ours").model.get_parameter(
        "livs.0.featurizer.groups.A.0.log_rate"
    )
    assert torch.equal(found, model.backbone.layers[0].mixer.A_log)


def test_a_tokenizer_goes_with_it(command: Command, tmp_path: Path) -> None:
    model = theirs("llama", vocab_size=264, eos_token_id=256)
    model.save_pretrained(tmp_path / "theirs")
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "\x07"})
    tokenizer.save_pretrained(tmp_path / "theirs")
    ran(command, "adopt", "model=theirs", "to=ours")
    ran(command, "export", "checkpoint=ours", "to=back")
    for folder in ("ours", "back"):
        same = (tmp_path / folder / "tokenizer.json").read_bytes()
        assert same == (tmp_path / "theirs" / "tokenizer.json").read_bytes()
    assert AutoTokenizer.from_pretrained(tmp_path / "back").eos_token == "\x07"
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert again.config.eos_token_id == again.generation_config.eos_token_id == 256
    said = json.loads(ran(command, "generate", "checkpoint=ours", "tokens=4", "format=json"))
    assert said["tokens"] == 4


@pytest.mark.parametrize("vocabulary", [48, 264])
def test_without_a_tokenizer_no_text_is_read(
    vocabulary: int, command: Command, tmp_path: Path
) -> None:
    """What its tokens mean is not guessed."""
    theirs("llama", vocab_size=vocabulary).save_pretrained(tmp_path / "theirs")
    ran(command, "adopt", "model=theirs", "to=ours")
    for verb, *arguments in (("generate", "prompt=hello", "tokens=4"), ("evaluate", "tasks=[a]")):
        result = command(verb, "checkpoint=ours", *arguments)
        assert result.returncode == 2 and len(result.stderr.splitlines()) == 1, result.stderr
        assert f"its {vocabulary} tokens without a tokenizer.json" in result.stderr


@pytest.mark.slow
def test_commands_take_it(command: Command, tmp_path: Path) -> None:
    """It is described at its sizes, generates, and trainings begin from it."""
    theirs("lfm3", vocab_size=256).save_pretrained(tmp_path / "theirs")
    ran(command, "adopt", "model=theirs", "to=ours", "name=small")
    described = json.loads(ran(command, "describe", "genome=ours/genome.yaml", "format=json"))
    checkpoint = load_checkpoint(tmp_path / "ours")
    assert described["name"] == "small"
    count = parameter_count(checkpoint.genome.genome, checkpoint.config)
    assert described["parameters"] == count.non_embedding and described["context"] == 640
    said = json.loads(ran(command, "generate", "checkpoint=ours", "tokens=4", "format=json"))
    assert said["tokens"] == 4
    ran(
        command, "train", "genome=ours/genome.yaml", "training.init_from=ours", "steps=1",
        "training.learning_rate=1e-9", "training.validation_batches=1", "training.batch_size=1",
        "training.length=16", "run_dir=trained", "model.tie_embeddings=true",
    )  # fmt: skip
    trained = load_checkpoint(tmp_path / "trained").model
    for name, weights in checkpoint.model.named_parameters():
        torch.testing.assert_close(trained.get_parameter(name), weights, rtol=1e-4, atol=1e-6)
