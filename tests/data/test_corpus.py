"""Text corpora: files, held-out split, cache, batches."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data import DataConfig, Text, load_corpus, open_corpus
from star.data.sources import TextFile, list_documents, split
from star.data.store import SEPARATOR


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"


def write_texts(folder: Path, count: int = 40) -> DataConfig:
    folder.mkdir(exist_ok=True)
    for n in range(count):
        (folder / f"{n:03}.txt").write_text(f"file {n} " * 30)
    return DataConfig("files", str(folder))


def cache_files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("train.bin"))


def test_whole_files_are_held_out(tmp_path: Path) -> None:
    corpus = load_corpus(write_texts(tmp_path / "texts"))
    train, held = (
        set(bytes(part).split(SEPARATOR)) - {b""} for part in (corpus.train, corpus.validation)
    )
    assert train and held and not train & held
    assert len(train | held) == 40


def test_adding_a_file_moves_no_other_file(tmp_path: Path) -> None:
    config = write_texts(tmp_path / "texts", 60)
    before = {file.name for file in split(list_documents(config), 0.2)[1]}
    (tmp_path / "texts" / "new.txt").write_text("more")
    assert before <= {file.name for file in split(list_documents(config), 0.2)[1]} | {"new.txt"}


def test_the_standard_library_is_large_and_has_no_third_party_code() -> None:
    files = list_documents(DataConfig())
    names = [file.name for file in files]
    assert names == sorted(names) and "os.py" in names
    assert not any("site-packages" in name for name in names)
    assert sum(len(file.read()) for file in files) > 5e6
    held = split(files, 0.05)[1]
    assert 0.02 < len(held) / len(files) < 0.08


def test_fingerprint_is_of_the_content_not_of_the_place_or_time(tmp_path: Path) -> None:
    first = load_corpus(write_texts(tmp_path / "a"))
    second = load_corpus(write_texts(tmp_path / "b"))
    assert first.fingerprint == second.fingerprint
    (tmp_path / "b" / "000.txt").write_text("changed " * 40)
    assert load_corpus(DataConfig("files", str(tmp_path / "b"))).fingerprint != first.fingerprint


def test_an_entry_that_is_no_corpus_is_rebuilt(tmp_path: Path, cache: Path) -> None:
    config = write_texts(tmp_path / "texts")
    good = load_corpus(config)
    (path,) = cache_files(cache)
    entry, description = path.parent, (path.parent / "corpus.json").read_text()

    def no_description(text: str) -> None:
        (entry / "corpus.json").write_text(text)

    def instead(make: Callable[[Path], object], path: Path = entry) -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    damages: list[Callable[[], object]] = [
        lambda: instead(lambda path: path.write_text("a file")),
        lambda: instead(lambda path: path.symlink_to("nowhere")),
        lambda: instead(lambda path: path.symlink_to(tmp_path)),
        lambda: instead(os.mkfifo, entry / "train.bin"),
        lambda: no_description("[" * 100_000),
        lambda: no_description("[]"),
        lambda: no_description('"x"'),
        lambda: no_description(description.replace("fingerprint", "print")),
        lambda: no_description(description.replace('"fingerprint": "', '"fingerprint": 5, "x": "')),
        lambda: (entry / "corpus.json").write_bytes(b"\xff"),
    ]
    for number, damage in enumerate(damages):
        damage()
        again = load_corpus(config)
        assert again.fingerprint == good.fingerprint and len(again.train), number
        assert (entry / "corpus.json").read_text() == description and not entry.is_symlink(), number


@pytest.mark.parametrize("root", ["a file", "a file/below", "n" * 300])
def test_a_cache_folder_that_cannot_be_is_named(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / root))
    with pytest.raises(UserError, match=r"cannot be written \(.*set STAR_CACHE_DIR to another"):
        load_corpus(write_texts(tmp_path / "texts"))


def test_other_content_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    config = write_texts(tmp_path / "texts")
    before = load_corpus(config).fingerprint
    path = tmp_path / "texts" / "000.txt"
    status = path.stat()
    path.write_text(path.read_text().replace("file", "life"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_corpus(config).fingerprint != before
    other = tmp_path / "other"  # and as editors do it: written beside it and moved into place
    other.write_text(path.read_text().replace("life", "feli"))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    now = load_corpus(config).fingerprint
    other.replace(path)
    assert load_corpus(config).fingerprint not in (before, now)


def test_a_file_that_changes_while_it_is_read_is_an_error_and_leaves_no_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_texts(tmp_path / "texts")
    read = TextFile.read

    def change(self: TextFile) -> bytes:
        content = read(self)
        if self.name == "003.txt":
            self.path.write_bytes(content + b"more")
        return content

    monkeypatch.setattr(TextFile, "read", change)
    with pytest.raises(UserError, match=r"^data: a file changed while it was read"):
        load_corpus(config)
    assert not cache_files(cache)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "garble"])
def test_a_corrupt_cache_is_rebuilt(tmp_path: Path, cache: Path, damage: str) -> None:
    config = write_texts(tmp_path / "texts")
    good = load_corpus(config)
    content = bytes(good.train)
    (path,) = cache_files(cache)
    if damage == "truncate":
        os.truncate(path, 100)
    elif damage == "flip":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "remove":
        path.unlink()
    else:
        (path.parent / "corpus.json").write_text("{")
    again = load_corpus(config)
    assert bytes(again.train) == content and again.fingerprint == good.fingerprint


def test_a_whole_cache_is_used_as_it_is(tmp_path: Path, cache: Path) -> None:
    config = write_texts(tmp_path / "texts")
    load_corpus(config)
    before = [path.stat().st_mtime_ns for path in cache_files(cache)]
    load_corpus(config)
    assert [path.stat().st_mtime_ns for path in cache_files(cache)] == before


def test_batches_depend_on_seed_and_step_only(tmp_path: Path) -> None:
    corpus = load_corpus(write_texts(tmp_path / "texts"))
    batch = corpus.batch(3, 5, 4, 16)
    assert batch.dtype == torch.int64 and batch.shape == (4, 17)
    corpus.batch(3, 6, 4, 16)
    assert torch.equal(batch, corpus.batch(3, 5, 4, 16))
    assert not torch.equal(batch, corpus.batch(3, 6, 4, 16))
    assert not torch.equal(batch, corpus.batch(4, 5, 4, 16))
    assert all(bytes(row.to(torch.uint8).tolist()) in bytes(corpus.train) for row in batch)


def test_the_validation_sample_is_fixed_and_spread(tmp_path: Path) -> None:
    corpus = load_corpus(write_texts(tmp_path / "texts"))
    sample = list(corpus.validation_batches(3, 2, 16))
    assert [tuple(batch.shape) for batch in sample] == [(2, 17)] * 3
    assert bytes(sample[0][0].tolist()) == bytes(corpus.validation[:17])
    assert bytes(sample[-1][-1].tolist()) == bytes(corpus.validation[-17:])


def test_suffixes_globs_and_binary_files(tmp_path: Path) -> None:
    config = write_texts(tmp_path / "texts", 6)
    (tmp_path / "texts" / "image.bin").write_bytes(b"\x00\x01" * 50)
    (tmp_path / "texts" / "notes.md").write_text("a note " * 20)
    assert len(list_documents(DataConfig("files", config.path, suffixes=[".md"]))) == 1
    assert len(list_documents(DataConfig("files", f"{config.path}/*.txt"))) == 6
    corpus = load_corpus(config)
    assert b"\x01" not in bytes(corpus.train) + bytes(corpus.validation)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig("files", "/no/such/place"), "data.path=/no/such/place: no such file or folder"),
        (DataConfig("files"), "data.path is not set"),
        (
            DataConfig(path="texts"),
            "data.path=texts: the data is the standard library; add data=files",
        ),
        (
            DataConfig("web"),
            "data.kind='web': expected one of stdlib, files, hub, or module:function",
        ),
        (DataConfig("nowhere:texts"), "data.kind=nowhere: cannot be imported"),
        (DataConfig(f"{__name__}:nothing"), f"data.kind={__name__}:nothing: "),
        (DataConfig(held_out=0.0), "data.held_out=0.0"),
    ],
)
def test_bad_settings(config: DataConfig, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_corpus(config)
    assert message in str(caught.value)


def test_empty_folder_single_file_and_empty_files(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(UserError, match="no file found"):
        load_corpus(DataConfig("files", str(folder)))
    (folder / "a.txt").write_text("")
    with pytest.raises(UserError, match="expected at least two"):
        load_corpus(DataConfig("files", str(folder)))
    (folder / "b.txt").write_text("")
    with pytest.raises(UserError, match="all its files are empty or binary"):
        load_corpus(DataConfig("files", str(folder)))


def test_a_corpus_shorter_than_the_length(tmp_path: Path) -> None:
    corpus = load_corpus(write_texts(tmp_path / "texts", 2))
    with pytest.raises(UserError, match=r"training.length=4096: the training text has only"):
        corpus.check_length(4096)
    assert isinstance(corpus.train, np.memmap)


LETTERS = {"a": "alpha " * 30, "b": "beta " * 30, "c": "gamma " * 30}


def letters(config: DataConfig) -> list[Text]:
    """A source of a user's own, in no order."""
    return [Text(name, LETTERS[name]) for name in "cab"]


def test_a_source_of_a_users_own_is_cached_until_its_text_changes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(f"{__name__}:letters")
    corpus = load_corpus(config)
    parts = (bytes(part).split(SEPARATOR) for part in (corpus.train, corpus.validation))
    texts = [text.decode() for part in parts for text in part if text]
    assert sorted(texts) == sorted(LETTERS.values())
    (path,) = cache_files(cache)
    before = path.stat().st_mtime_ns
    assert load_corpus(config).fingerprint == corpus.fingerprint
    assert path.stat().st_mtime_ns == before
    monkeypatch.setitem(LETTERS, "b", "delta " * 30)
    assert load_corpus(config).fingerprint != corpus.fingerprint


def test_a_vocabulary_smaller_than_the_tokens_is_refused(tmp_path: Path) -> None:
    config = write_texts(tmp_path / "texts")
    assert open_corpus(config, 16, 256).fingerprint == load_corpus(config).fingerprint
    with pytest.raises(UserError, match="vocabulary"):
        open_corpus(config, 16, 255)


def test_what_a_killed_process_built_half_is_removed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_texts(tmp_path / "texts")
    with monkeypatch.context() as killed, pytest.raises(ZeroDivisionError):
        killed.setattr("os.getpid", lambda: 2**22 + 1)  # more than Linux counts to
        killed.setattr("shutil.rmtree", lambda *arguments, **options: None)
        killed.setattr("star.data.store._move", lambda *folders: 1 / 0)
        load_corpus(config)
    (half,) = (cache / "corpora").iterdir()
    load_corpus(config)
    (entry,) = (cache / "corpora").iterdir()
    assert half.name.startswith("building_") and entry != half
