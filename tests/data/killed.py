"""Tokenise a file into shards, slowly; a test kills it: folder, text, threads, shard bytes."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from star.data import DataConfig, shards
from star.data.sources import list_documents
from star.data.streams import DocumentStream
from star.data.subwords import SubwordTokenizer, read_tokenizer
from star.data.tokenizers import Tokens


def write(folder: Path, text: Path, tokenizer: str, threads: int, pause: float = 0) -> int:
    """Write the shards; returns how many there are."""
    config = DataConfig("files", str(text), held_out=0.2)
    stream = DocumentStream(list_documents(config), config)
    kept = Slow(read_tokenizer(tokenizer), pause)
    return len(shards.write_shards(folder, stream, kept, shards.Limits(), threads))


class Slow:
    """A tokenizer that takes its time."""

    def __init__(self, own: SubwordTokenizer, pause: float) -> None:
        self._own, self._pause = own, pause
        self.vocabulary, self.end, self.decoder = own.vocabulary, own.end, own.decoder
        self.digest = own.digest

    def encode(self, contents: Sequence[bytes]) -> list[Tokens]:
        time.sleep(self._pause)
        return self._own.encode(contents)


if __name__ == "__main__":
    shards.SHARD_BYTES = 4000
    write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), 0.02)
