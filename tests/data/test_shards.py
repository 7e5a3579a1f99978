"""Shards and tokenised corpora: the same whatever happens, damage refused, nothing lost."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from star.base.errors import UserError
from star.data import DataConfig, Text, load_corpus, open_corpus, shards, tokenised
from star.data.sources import draw
from star.data.subwords import read_tokenizer, train_bpe
from star.data.tokenizers import ByteTokenizer
from tests.data import killed

WORDS = [
    "def",
    "return",
    "class",
    "import",
    "self",
    "the",
    "of",
    "and",
    "😀",
    "naïve",
    "print",
    "(",
    ")",
    ":",
    "=",
    "1",
    "2",
    "3",
    "\n",
    ",",
]


def texts(count: int, seed: int = 0) -> list[str]:
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(WORDS, k=chooser.randint(20, 200))) for _ in range(count)]


TOKENIZER = train_bpe([text.encode() for text in texts(50)], 300)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(shards, "SHARD_BYTES", 4000)
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(400)))
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    TOKENIZER.save(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_are_the_same_for_any_number_of_threads(
    text: Path, tokenizer: Path, tmp_path: Path
) -> None:
    counts = [killed.write(tmp_path / str(n), text, str(tokenizer), n) for n in (1, 3)]
    assert counts[0] == counts[1] > 20
    assert content(tmp_path / "1") == content(tmp_path / "3")


@pytest.mark.slow
def test_after_kill_9_the_same_command_gives_the_same_shards(
    text: Path, tokenizer: Path, tmp_path: Path
) -> None:
    """Killed as they come, at three places; what was finished is not made again."""
    killed.write(tmp_path / "whole", text, str(tokenizer), 2)
    folder = tmp_path / "killed"
    command = [sys.executable, killed.__file__, str(folder), str(text), str(tokenizer), "2"]
    for wanted in (2, 9, 16):
        process = subprocess.Popen(command)
        while len(list(folder.glob("*.json"))) < wanted and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    left = shards.finished_shards(folder)
    assert 16 <= len(left) < len(shards.finished_shards(tmp_path / "whole"))
    before = (folder / "000000.bin").stat().st_mtime_ns
    killed.write(folder, text, str(tokenizer), 3)
    assert content(folder) == content(tmp_path / "whole")  # no leftovers either
    assert (folder / "000000.bin").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "description"])
def test_a_damaged_shard_of_unfinished_work_is_made_again(
    damage: str, text: Path, tokenizer: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    killed.write(folder, text, str(tokenizer), 1)
    whole, path = content(folder), folder / "000003.bin"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "flip":
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    elif damage == "remove":
        path.unlink()
    else:
        path.with_suffix(".json").write_text('{"text": 3}')
    assert len(shards.finished_shards(folder)) == 3
    killed.write(folder, text, str(tokenizer), 1)
    assert content(folder) == whole


def config(text: Path, **given: Any) -> DataConfig:
    return DataConfig("files", str(text), **{"held_out": 0.2, "tokenizer": "bpe", **given})


def test_tokens_of_a_corpus_are_its_documents_with_ends(text: Path, tokenizer: Path) -> None:
    corpus = load_corpus(config(text, tokenizer=str(tokenizer)))
    assert corpus.tokenizer is not None and corpus.vocabulary == TOKENIZER.vocabulary
    kept = read_tokenizer(str(corpus.tokenizer))
    assert kept.content == TOKENIZER.content
    known, seen, held = set(texts(400)), [], []
    for part, found in ((corpus.train, seen), (corpus.validation, held)):
        assert isinstance(part, np.memmap) and part.dtype == np.uint16
        ends = np.flatnonzero(part == kept.end)
        for tokens in np.split(part, ends + 1)[:-1]:
            decoder = kept.decoder()
            found.append("".join(map(decoder.decode, tokens[:-1].tolist())) + decoder.finish())
    assert set(seen) | set(held) == known and not set(seen) & set(held) and len(seen + held) == 400
    size = sum(len(text.encode()) + 1 for text in held)
    assert corpus.bytes_per_token == size / len(corpus.validation) > 1.5
    batch = corpus.batch(0, 0, 3, 8)
    assert batch.shape == (3, 9) and batch.max() < corpus.vocabulary


def test_bits_per_byte_are_comparable(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows nothing but the shares of tokens takes about the same bits a byte as the
    entropy of the tokens says, and tokens that say more take fewer."""
    bits = {}
    for name in ("bytes", "bpe"):
        corpus = load_corpus(config(text, tokenizer=name, documents=400))
        shares = np.bincount(corpus.validation) / len(corpus.validation)
        entropy = -sum(p * np.log2(p) for p in shares[shares > 0])
        bits[name] = entropy / corpus.bytes_per_token
        total = entropy * len(corpus.validation)  # bits of the whole held-out text
        amounts = json.loads((entry_of(corpus) / "corpus.json").read_text())["validation"]
        assert bits[name] == pytest.approx(total / (amounts["bytes"] + amounts["documents"]))
    assert bits["bpe"] < 0.8 * bits["bytes"]


def entry_of(corpus: Any) -> Path:
    return Path(corpus.train.filename).parent


def test_a_trained_vocabulary_of_a_corpus_and_its_types(text: Path) -> None:
    corpus = load_corpus(config(text, vocabulary=270))
    assert corpus.vocabulary == 270 and corpus.train.dtype == np.uint16
    assert load_corpus(config(text, vocabulary=280)).fingerprint != corpus.fingerprint
    assert shards.token_type(256) == np.uint8 and shards.token_type(257) == np.uint16
    assert shards.token_type(2**16) == np.uint16 and shards.token_type(2**16 + 1) == np.uint32


def test_a_bpe_learns_nothing_of_the_held_out_text(text: Path, tmp_path: Path) -> None:
    """Held-out rows that are changed leave the tokenizer as it is."""
    corpus = load_corpus(config(text))
    rows, other = text.read_text().splitlines(), tmp_path / "other.jsonl"
    fresh = [t for t in texts(2000, seed=1) if is_held_out(t)]
    changed = [
        json.dumps({"text": fresh.pop()}) if is_held_out(json.loads(row)["text"]) else row
        for row in rows
    ]
    other.write_text("".join(row + "\n" for row in changed))
    again = load_corpus(config(other))
    assert again.fingerprint != corpus.fingerprint and np.array_equal(again.train, corpus.train)
    assert corpus.tokenizer is not None and again.tokenizer is not None
    name = "tokenizer.json"
    assert (again.tokenizer / name).read_bytes() == (corpus.tokenizer / name).read_bytes()


def is_held_out(text: str) -> bool:
    """Whether a row is held out."""
    return draw(text.encode()) < 0.2


LETTERS = dict(zip("abcdefgh", texts(8), strict=True))


def letters(config: DataConfig) -> list[Text]:
    return [Text(name, text) for name, text in LETTERS.items()]


def test_a_source_of_a_users_own_with_a_vocabulary() -> None:
    corpus = load_corpus(DataConfig(f"{__name__}:letters", tokenizer="bpe", vocabulary=300))
    assert corpus.vocabulary > 256 and (corpus.validation == 0).sum() == 1


def test_whole_files_are_held_out_as_with_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number, one in enumerate(texts(30)):
        (folder / f"{number:02}.txt").write_text(one)
    plain = load_corpus(DataConfig("files", str(folder)))
    streamed = load_corpus(DataConfig("files", str(folder), documents=1000))
    assert streamed.fingerprint != plain.fingerprint and streamed.tokenizer is None
    for part in ("train", "validation"):
        assert bytes(getattr(streamed, part)) == bytes(getattr(plain, part))


def test_text_that_was_added_to_is_tokenised_again(text: Path) -> None:
    before = load_corpus(config(text))
    assert load_corpus(config(text)).fingerprint == before.fingerprint
    text.write_text(text.read_text() + json.dumps({"text": "one more " * 9}) + "\n")
    assert load_corpus(config(text)).fingerprint != before.fingerprint


def full_disk(*arguments: object) -> None:
    raise OSError(28, "full")


def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tokenised.write_shards

    def change(*arguments: Any) -> Any:
        found = write(*arguments)
        text.write_text(text.read_text() + "\n")
        return found

    monkeypatch.setattr(tokenised, "write_shards", change)
    with pytest.raises(UserError, match=r"^data: a file changed while it was read; run the same"):
        load_corpus(config(text, documents=100, tokenizer="bytes"))
    assert not list((cache / "tokens").iterdir())


def test_two_processes_that_want_the_same_text_tokenise_it_once(
    text: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for the first and takes what it made."""
    monkeypatch.setattr(tokenised, "WAIT_SECONDS", 0.01)
    begun, found, write = threading.Event(), [], tokenised.write_shards

    def slow(*arguments: Any) -> Any:
        begun.set()
        while not caplog.records:
            time.sleep(0.01)
        return write(*arguments)

    monkeypatch.setattr(tokenised, "write_shards", slow)
    asked = config(text, tokenizer="bytes", documents=100)
    first = threading.Thread(target=lambda: found.append(load_corpus(asked).fingerprint))
    first.start()
    begun.wait()
    monkeypatch.setattr(tokenised, "write_shards", None)
    assert load_corpus(asked).fingerprint
    first.join()
    assert len(found) == 1 and "waiting for another process" in caplog.text


def test_an_interrupted_command_goes_on_with_its_tokenizer_and_shards(
    text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_corpus(config(text))
    entry = entry_of(whole)
    files = content(entry)
    shutil.rmtree(entry)
    with monkeypatch.context() as stopped:
        stopped.setattr(tokenised, "joined_file", full_disk)
        with pytest.raises(UserError, match=r"cannot be written \(full\); set STAR_CACHE_DIR to"):
            load_corpus(config(text))
    assert (entry / "shards" / "000000.bin").exists() and not (entry / "corpus.json").exists()
    monkeypatch.setattr(tokenised, "train_bpe", None)  # it is there
    monkeypatch.setattr(ByteTokenizer, "encode", None)
    assert load_corpus(config(text)).fingerprint == whole.fingerprint
    assert content(entry) == files


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "tokenizer.json", "corpus.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_corpus_is_refused_and_left_as_it_is(name: str, damage: str, text: Path) -> None:
    if (name, damage) == ("corpus.json", "remove"):
        pytest.skip("then it is not finished")
    path = entry_of(load_corpus(config(text))) / name
    kept = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        changed = bytes([kept[0] ^ 1]) + kept[1:]
        path.write_bytes(kept[: len(kept) // 2] if damage == "cut" else changed)
    before = content(path.parent)
    with pytest.raises(UserError, match=r"damaged .*; remove the folder, and the same") as caught:
        load_corpus(config(text))
    assert "\n" not in str(caught.value) and content(path.parent) == before


@pytest.mark.parametrize("text_of", ["{}", "[]", '{"files": {}}', '{"files": []}', "[" * 100_000])
def test_a_description_that_is_none_is_refused(text_of: str, text: Path) -> None:
    path = entry_of(load_corpus(config(text))) / "corpus.json"
    path.write_text(text_of)
    with pytest.raises(UserError, match=r"damaged tokenised text .*; remove the folder"):
        load_corpus(config(text))


def test_the_fingerprint_is_of_the_tokens_not_of_the_place_or_the_threads(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_corpus(config(text))
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "other.jsonl"
    shutil.copy(text, other)
    monkeypatch.setattr(shards, "SHARD_BYTES", 9000)
    again = load_corpus(config(other))
    assert entry_of(again) != entry_of(before) and again.fingerprint == before.fingerprint


def test_a_vocabulary_larger_than_the_models_is_refused_before_anything_is_written(
    text: Path, tokenizer: Path, cache: Path
) -> None:
    message = r"^model.vocabulary=256: expected at least the data's {0}; set model.vocabulary={0}$"
    for own, size in (("bpe", 4096), (str(tokenizer), TOKENIZER.vocabulary)):
        with pytest.raises(UserError, match=message.format(size)):
            open_corpus(config(text, tokenizer=own), 8, 256)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocabulary": 256}, "data.vocabulary=256: expected 257 "),
        ({"tokenizer": None, "vocabulary": 512}, "data.vocabulary=512: expected null, since only"),
        ({"documents": 1}, "data.documents=1: expected at least 2"),
        ({"bytes": "0"}, "data.bytes=0: expected at least 1 byte"),
        ({"bytes": "5s"}, "data.bytes=5s: expected a number, alone or with a unit"),
        ({"name": "a/b"}, "data.name=a/b: expected null, since only data=hub takes it"),
        ({"tokenizer": ""}, "data.tokenizer=: expected bytes, bpe, a tokenizer.json"),
    ],
)
def test_bad_settings(given: dict[str, Any], message: str, text: Path) -> None:
    with pytest.raises(UserError) as caught:
        config(text, **given).check()
    assert str(caught.value).startswith(message)
