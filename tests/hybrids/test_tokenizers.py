"""Whether tokenizers of components are one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from star.base.errors import UserError
from star.data.subwords import TOKENIZER, SubwordTokenizer, train_bpe
from star.exporting.tokenizer import byte_tokenizer
from star.genomes import Genome, GenomeFile, ModelConfig
from star.hybrids.opening import open_checkpoint, open_component, open_components
from star.hybrids.tokenizers import differences, their_tokenizer
from star.models import decode, save_checkpoint
from tests.hybrids.their_models import foreign, save_ours

TEXT = b"A tokenizer's files may be older than the library, and be the same tokenizer. " * 9
CONTENT: dict[str, Any] = json.loads(train_bpe([TEXT], 290).content)


def merges_as_texts(content: dict[str, Any]) -> None:
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]


def with_offsets(content: dict[str, Any]) -> None:
    content["pre_tokenizer"]["trim_offsets"] ^= True


def with_padding(content: dict[str, Any]) -> None:
    content["truncation"] = {
        "max_length": 9, "strategy": "LongestFirst", "stride": 0, "direction": "Right",
    }  # fmt: skip


def with_prefixes(content: dict[str, Any]) -> None:
    content["model"]["continuing_subword_prefix"] = ""


def with_post_processor(content: dict[str, Any]) -> None:
    content["post_processor"] = content["pre_tokenizer"]


@pytest.mark.parametrize(
    "change", [merges_as_texts, with_offsets, with_padding, with_prefixes, with_post_processor]
)
def test_what_decides_no_token_is_no_difference(change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(json.dumps(CONTENT))
    change(content)
    assert content != CONTENT
    assert differences(json.dumps(content), json.dumps(CONTENT)) == []


def other_merges(content: dict[str, Any]) -> None:
    merges = content["model"]["merges"]
    merges[:2] = merges[1::-1]


def prefix_space(content: dict[str, Any]) -> None:
    content["pre_tokenizer"]["add_prefix_space"] = True


def normalized(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "NFC"}


def one_more(content: dict[str, Any]) -> None:
    new = {**content["added_tokens"][0], "id": 1000, "content": "<|im_end|>"}
    content["added_tokens"].append(new)


def not_special(content: dict[str, Any]) -> None:
    content["added_tokens"][0]["special"] = False


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (other_merges, ["merges"]),
        (prefix_space, ["pre_tokenizer"]),
        (normalized, ["normalizer"]),
        (one_more, ["vocabulary", "special tokens"]),
        (not_special, ["special tokens"]),
    ],
)
def test_what_decides_tokens_is_named(
    change: Callable[[dict[str, Any]], None], found: list[str]
) -> None:
    content = json.loads(json.dumps(CONTENT))
    change(content)
    assert differences(json.dumps(CONTENT), json.dumps(content)) == found


def save_as_gpt2(folder: Path, **settings: Any) -> None:
    """As GPT-2's first release had it: no `tokenizer.json`."""
    model = CONTENT["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(map(" ".join, model["merges"]))
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    kept = {"tokenizer_class": "GPT2Tokenizer", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))


def test_a_vocabulary_with_merges_is_the_same_tokenizer(tmp_path: Path) -> None:
    for name in ("old", "new"):
        foreign("gpt2", vocab_size=290).save_pretrained(tmp_path / name)
    save_as_gpt2(tmp_path / "old")
    SubwordTokenizer(json.dumps(CONTENT), None, "new").save(tmp_path / "new")
    old, new = open_components([str(tmp_path / name) for name in ("old", "new")])
    first, second = old.read_tokenizer(), new.read_tokenizer()
    assert first is not None and second is not None
    assert first.encode([TEXT])[0].tolist() == second.encode([TEXT])[0].tolist()
    assert first.end_token == second.end_token == "<|endoftext|>"


def test_bytes_exported_are_bytes(tmp_path: Path) -> None:
    """The tokenizer that `star.export` writes, and the lack of one."""
    for name in ("exported", "bare"):
        foreign("gpt2").save_pretrained(tmp_path / name)
    byte_tokenizer().save_pretrained(tmp_path / "exported")
    save_ours(tmp_path / "ours")
    opened = open_components([str(tmp_path / name) for name in ("ours", "exported", "bare")])
    assert [one.tokenizer for one in opened] == [b"", b"", b""]


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    foreign("gpt2", vocab_size=290).save_pretrained(tmp_path / "theirs")
    with pytest.raises(UserError, match="has no tokenizer, and no text can be read with its 290"):
        open_component(str(tmp_path / "theirs"))


def test_an_adopted_checkpoint_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    genome, sizes = Genome.from_text("91111"), ModelConfig(width=32, vocabulary=290)
    save_checkpoint(tmp_path, decode(genome, sizes), GenomeFile("adopted", genome), sizes)
    with pytest.raises(UserError, match=r"no text can be read with its 290 tokens without a"):
        open_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({TOKENIZER: "{"}, "cannot be read as a tokenizer"),
        ({"vocab.json": "{", "merges.txt": ""}, "its tokenizer cannot be read"),
        ({"tokenizer.model": "no protocol buffer"}, "its tokenizer cannot be read"),
    ],
)
def test_damaged_tokenizers_are_refused(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    foreign("gpt2", vocab_size=290).config.save_pretrained(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as refused:
        their_tokenizer("theirs", tmp_path, 290)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_code_of_a_tokenizer_is_not_run(tmp_path: Path) -> None:
    foreign("gpt2", vocab_size=290).config.save_pretrained(tmp_path)
    save_as_gpt2(
        tmp_path, tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Own", "own.Own"]}
    )
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')\n\nclass Own: pass\n")
    with pytest.raises(UserError, match="its tokenizer cannot be read"):
        their_tokenizer("theirs", tmp_path, 290)
    assert not ran.exists()
