"""Data sets as Hugging Face's `datasets` streams them: folders here, a hub that is not there."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from star.base.errors import UserError
from star.data import DataConfig, load_corpus, shards
from star.data.hub import HubRows
from star.data.streams import HubStream
from star.data.tokenizers import ByteTokenizer

TEXTS = [f"story {n}: once upon a time " * (1 + n % 5) for n in range(90)]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in three parquet files."""
    path = tmp_path / "stories"
    path.mkdir()
    for part in range(3):
        table = pa.table({"text": TEXTS[part * 30 : part * 30 + 30]})
        name = f"train-{part:05}-of-00003.parquet"
        pq.write_table(table, path / name, row_group_size=8)
    return path


def config(folder: Path, **given: Any) -> DataConfig:
    return DataConfig("hub", name=str(folder), held_out=0.2, **given)


def texts_of(corpus: object) -> list[str]:
    parts = (bytes(getattr(corpus, part)).decode() for part in ("train", "validation"))
    return [text for part in parts for text in part.split("\0")[:-1]]


def test_a_streamed_data_set_is_its_texts(folder: Path) -> None:
    corpus = load_corpus(config(folder))
    assert sorted(texts_of(corpus)) == sorted(TEXTS)
    assert sorted(texts_of(load_corpus(config(folder, documents=40)))) == sorted(TEXTS[:40])
    assert load_corpus(config(folder, tokenizer="bpe", vocabulary=300)).bytes_per_token > 2


@pytest.mark.parametrize("given", [0, 1, 29, 30, 31, 75, 89, 90])
def test_a_stream_goes_on_where_another_was(given: int, folder: Path) -> None:
    rows = HubRows(config(folder))
    found = list(islice(rows.texts(), given))
    position = json.loads(json.dumps(rows.position())) if given else None
    assert found + list(HubRows(config(folder)).texts(position)) == TEXTS


def test_shards_are_the_same_after_an_interruption(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 700)
    places = tmp_path / "whole", tmp_path / "resumed"
    limits, read = shards.Limits(), []
    whole = shards.write_shards(places[0], HubStream(config(folder)), ByteTokenizer(), limits, 1)
    assert len(whole) > 5
    shards.write_shards(places[1], HubStream(config(folder)), ByteTokenizer(), shards.Limits(35), 1)
    for path in places[1].glob("000003.*"):  # the last whole one is cut off by its limit
        path.unlink()
    texts = HubRows.texts

    def noted(self: HubRows, position: object = None) -> object:
        for text in texts(self, position):
            read.append(text)
            yield text

    monkeypatch.setattr(HubRows, "texts", noted)
    shards.write_shards(places[1], HubStream(config(folder)), ByteTokenizer(), limits, 2)
    content = [{path.name: path.read_bytes() for path in place.iterdir()} for place in places]
    first = sum((s.train.documents + s.validation.documents) for s in whole[:3])
    assert read == TEXTS[first:]  # what is done is not read again
    assert {name: c for name, c in content[0].items() if name.endswith("bin")} == {
        name: c for name, c in content[1].items() if name.endswith("bin")
    }


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"body": TEXTS})
    rows.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": rows, "test": rows.select(range(50))}).save_to_disk(
        str(tmp_path / "two")
    )
    found = load_corpus(config(tmp_path / "one", text_column="body"))
    assert sorted(texts_of(found)) == sorted(TEXTS)
    found = load_corpus(config(tmp_path / "two", text_column="body", split="test"))
    assert sorted(texts_of(found)) == sorted(TEXTS[:50])
    with pytest.raises(UserError, match=r"^data.split=dev: expected one of train, test$"):
        load_corpus(config(tmp_path / "two", text_column="body", split="dev"))


def test_a_folder_whose_files_change_is_another_text(folder: Path) -> None:
    before = load_corpus(config(folder)).fingerprint
    pq.write_table(pa.table({"text": ["new"] * 9}), folder / "train-00002-of-00003.parquet")
    assert load_corpus(config(folder)).fingerprint != before


def test_a_hub_that_is_not_there_and_columns_that_are_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"^data.name=no/such: cannot be streamed \(.*OFFLINE"):
        load_corpus(DataConfig("hub", name="no/such"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(UserError, match=r"expected a data set of the hub, with the network there"):
        load_corpus(DataConfig("hub", name="no/such"))
    message = r"^data.text_column=body: data.name=.* has no such column, it has text$"
    with pytest.raises(UserError, match=message):
        load_corpus(config(folder, text_column="body"))
    with pytest.raises(UserError, match=r"cannot be streamed \(ValueError: Bad split: dev"):
        load_corpus(config(folder, split="dev"))
    with pytest.raises(UserError, match=r"^data.name=None: expected a data set on the hub"):
        load_corpus(DataConfig("hub"))
