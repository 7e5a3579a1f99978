"""Tokenizers with larger vocabularies: any bytes come back, ends are ends, others' are read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from star.base.errors import UserError
from star.data import subwords
from star.data.subwords import END, SubwordTokenizer, parts, read_tokenizer, train_bpe
from star.data.tokenizers import TextStream, prompt_tokens

TEXTS = ["def main():\n    return 'Ångström 😀'\n" * 20, "to be, or not to be\n" * 30]
BPE = train_bpe([text.encode() for text in TEXTS], 400)


def shown(tokenizer: SubwordTokenizer, tokens: list[int]) -> str:
    stream = TextStream(decoder=tokenizer.decoder())
    return "".join(map(stream.push, tokens)) + stream.finish()


def raw(tokens: list[int], tokenizer: SubwordTokenizer) -> bytes:
    """Their bytes, by the letters of GPT-2 as transformers has them."""
    values = {letter: byte for byte, letter in bytes_to_unicode().items()}
    library = Tokenizer.from_str(tokenizer.content)
    return b"".join(bytes(values[c] for c in str(library.id_to_token(t))) for t in tokens)


SOME = st.sampled_from([END.encode(), b"\xff", "é".encode(), b"\xed\xb2\x80", b" \n\n", b"main("])


@given(st.lists(st.one_of(st.binary(max_size=12), SOME), max_size=8).map(b"".join))
def test_any_bytes_come_back(content: bytes) -> None:
    (tokens,) = BPE.encode([content])
    assert tokens.dtype == np.uint16
    assert raw(tokens.tolist(), BPE) == content and BPE.end not in tokens


@given(st.lists(st.text(max_size=30), max_size=5))
def test_a_stream_shows_every_text_and_never_half_a_character(texts: list[str]) -> None:
    for text, tokens in zip(texts, BPE.encode([t.encode() for t in texts]), strict=True):
        decoder, seen = BPE.decoder(), ""
        for token in tokens.tolist():
            seen += decoder.decode(token)
            assert text.startswith(seen)
        assert seen + decoder.finish() == text


def test_its_tokens_are_the_librarys_own() -> None:
    library = Tokenizer.from_str(BPE.content)
    for text in TEXTS:
        (tokens,) = BPE.encode([text.encode()])
        assert tokens.tolist() == library.encode(text).ids
        assert len(tokens) < len(text) / 2


def test_training_is_the_same_every_time() -> None:
    assert train_bpe([text.encode() for text in TEXTS], 400).content == BPE.content
    assert BPE.vocabulary <= 400 and BPE.end == 0
    assert train_bpe([], 300).vocabulary == 257


def test_a_long_text_is_encoded_in_parts_that_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords, "LONGEST_PART", 50)
    for text in ("a line\n" * 40, "x" * 170, "\n" + "y" * 60 + "\n\nz"):
        assert "".join(parts(text)) == text and max(map(len, parts(text))) <= 50
        (tokens,) = BPE.encode([text.encode()])
        assert shown(BPE, tokens.tolist()) == text
    assert all(part.endswith("\n") for part in parts("a line\n" * 40))


def test_no_prompt_is_the_end_of_a_document() -> None:
    assert prompt_tokens(BPE, "") == [BPE.end]
    assert shown(BPE, [BPE.end]) == END


def test_saved_and_read_again(tmp_path: Path) -> None:
    BPE.save(tmp_path)
    for reference in (tmp_path, tmp_path / "tokenizer.json"):
        again = read_tokenizer(str(reference))
        assert (again.content, again.end, again.vocabulary) == (BPE.content, 0, BPE.vocabulary)


def sentencepiece_like() -> Any:
    """As Llama 2 and Mistral have it: spaces are letters, other bytes have tokens of their own."""
    library: Any = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    library.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    library.train_from_iterator(["to be or not to be", "that is the question"] * 5, trainer)
    content = json.loads(library.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # bytes are no special tokens
    return content


def test_a_vocabulary_that_is_not_made_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(sentencepiece_like()))
    tokenizer = read_tokenizer(str(tmp_path))
    assert tokenizer.end == 2  # </s>, which is known
    for text in ("to be or not", "the question 😀 é", "be </s> so"):
        (tokens,) = tokenizer.encode([text.encode()])
        assert shown(tokenizer, tokens.tolist()) == text and tokenizer.end not in tokens
    (tokens,) = tokenizer.encode([b"to \xff be"])
    assert shown(tokenizer, tokens.tolist()) == "to � be"
    decoder = tokenizer.decoder()
    before, behind = (tokenizer.encode([word])[0].tolist() for word in (b"to be", b"question"))
    assert "".join(map(decoder.decode, before)) == "to be"
    assert "".join(map(decoder.decode, behind)) + decoder.finish() == " question"  # in its middle
    cut = tokenizer.encode(["😀".encode()])[0].tolist()[:-1]
    assert "😀" not in shown(tokenizer, cut)


def test_the_end_is_what_its_settings_say(tmp_path: Path) -> None:
    BPE.save(tmp_path)
    last = BPE.vocabulary - 1
    name = Tokenizer.from_str(BPE.content).id_to_token(last)
    for named in (name, {"content": name}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": named}))
        assert read_tokenizer(str(tmp_path)).end == last


def without_an_end() -> str:
    library: Any = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    return library.to_str()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without_an_end(), r"has no end token, which separates documents; expected the eos_token"),
        ("{", r"cannot be read as a tokenizer"),
        ("[" * 100_000, r"cannot be read as a tokenizer"),
        ('{"model": {"type": "BPE", "vocab": 3}}', r"cannot be read as a tokenizer"),
        ("\udcff", r"cannot be read as a tokenizer \('utf-8' codec"),
    ],
)
def test_files_that_are_no_tokenizer(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=f"^data.tokenizer=.*: {message}") as caught:
        read_tokenizer(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_one_and_a_hub_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"tokenizer.json is missing"):
        read_tokenizer(str(tmp_path))
    import huggingface_hub

    def fail(*arguments: str) -> str:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    message = r"^data.tokenizer=a/b: no such file or folder, and the hub .* \(OSError: no network\)"
    with pytest.raises(UserError, match=message):
        read_tokenizer("a/b")
