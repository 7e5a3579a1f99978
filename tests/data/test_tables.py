"""Documents in rows of `.jsonl` and `.parquet`."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from star.base.errors import UserError
from star.data import DataConfig, load_corpus
from star.data.sources import TableFile, list_documents

TEXTS = [f"row {n}: ünï " * (1 + n % 7) for n in range(60)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))


def write_jsonl(path: Path, texts: list[str | None], column: str = "text") -> Path:
    rows = (json.dumps({"id": n, column: text}) for n, text in enumerate(texts))
    path.write_text("\n\n".join(rows) + "\n")
    return path


def write_parquet(path: Path, texts: list[str | None], column: str = "text") -> Path:
    pq.write_table(pa.table({"id": list(range(len(texts))), column: texts}), path, row_group_size=7)
    return path


WRITERS = {".jsonl": write_jsonl, ".parquet": write_parquet}


def documents(corpus: object, part: str) -> list[str]:
    return bytes(getattr(corpus, part)).decode().split("\0")[:-1]


@pytest.mark.parametrize("suffix", WRITERS)
def test_each_row_is_a_document_of_one_part(suffix: str, tmp_path: Path) -> None:
    path = WRITERS[suffix](tmp_path / f"texts{suffix}", [*TEXTS, None, "", "a\0b"], "content")
    corpus = load_corpus(DataConfig("files", str(path), held_out=0.2, text_column="content"))
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert sorted(train + held_out) == sorted(TEXTS)  # no empty row, none with a NUL
    assert train and held_out and corpus.bytes_per_token == 1 and corpus.vocabulary == 256


def test_the_same_text_is_on_the_same_side_in_any_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [*TEXTS])
    write_parquet(tmp_path / "b.parquet", [*TEXTS, "another"])
    (tmp_path / "c.txt").write_text("a text file " * 9)
    corpus = load_corpus(DataConfig("files", str(tmp_path), held_out=0.2))
    train, held_out = documents(corpus, "train"), documents(corpus, "validation")
    assert not set(train) & set(held_out) and len(train + held_out) == 2 * len(TEXTS) + 2


def test_the_first_so_many_documents_and_bytes(tmp_path: Path) -> None:
    path = str(write_jsonl(tmp_path / "a.jsonl", [*TEXTS]))
    corpus = load_corpus(DataConfig("files", path, held_out=0.3, documents=20))
    found = documents(corpus, "train") + documents(corpus, "validation")
    assert sorted(found) == sorted(TEXTS[:20])
    corpus = load_corpus(DataConfig("files", path, held_out=0.3, bytes="1kB"))
    found = documents(corpus, "train") + documents(corpus, "validation")
    sizes = [len(text.encode()) for text in TEXTS[: len(found)]]
    assert sorted(found) == sorted(TEXTS[: len(found)])
    assert sum(sizes[:-1]) < 1000 <= sum(sizes)


def test_sizes_tell_how_far_it_is(tmp_path: Path) -> None:
    for suffix, write in WRITERS.items():
        path = write(tmp_path / f"a{suffix}", [*TEXTS])
        (table,) = list_documents(DataConfig("files", str(path)))
        assert isinstance(table, TableFile)
        read = sum(size for _, size in table.rows("text"))
        assert 0.9 * path.stat().st_size <= read <= path.stat().st_size


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"data file .*a.jsonl, line 2, is no JSON \("),
        ("a.jsonl", b"[" * 100_000, r"data file .*a.jsonl, line 1, is no JSON \("),
        ("a.jsonl", b'{"body": "x"}', r"data.text_column=text: .*line 1, has no such column, it"),
        ("a.jsonl", b"[1, 2]", r"data.text_column=text: .*line 1, has no such column, it has no"),
        ("a.jsonl", b'{"text": [1]}', r"data.text_column=text: .* has a list there, expected text"),
        ("a.parquet", b"PAR1 and no more", r"data file .*a.parquet: cannot be read as parquet \("),
        ("a.jsonl", b'{"text": "x"}', r"data.held_out=0.05: none of the 1 documents with text is"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^{message}") as caught:
        load_corpus(DataConfig("files", str(tmp_path / name)))
    assert "\n" not in str(caught.value)


def test_a_parquet_without_the_column(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [*TEXTS], "body")
    with pytest.raises(UserError, match=r"no such column, it has id, body$"):
        load_corpus(DataConfig("files", str(path)))
    with pytest.raises(UserError, match=r"a.parquet has a int there, expected text"):
        load_corpus(DataConfig("files", str(path), text_column="id"))
