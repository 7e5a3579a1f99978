"""One way to tokenise a .jsonl file, timed: <way> <texts> <folder of the tokenizer>."""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
PROCESSES = os.cpu_count() or 1


def star(texts: str, tokenizer: str) -> int:
    """`load_corpus`, from the rows to the memory-mapped file; returns its tokens."""
    from star.data import DataConfig, load_corpus

    corpus = load_corpus(DataConfig("files", texts, tokenizer=tokenizer))
    return len(corpus.train) + len(corpus.validation)


def map_processes(texts: str, tokenizer: str) -> int:
    """`load_dataset` and `map` in as many processes as there are processors."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return _map(texts, tokenizer, PROCESSES)


def map_threads(texts: str, tokenizer: str) -> int:
    """The same in one process, with the threads of `tokenizers`."""
    return _map(texts, tokenizer, None)


def _map(texts: str, tokenizer: str, processes: int | None) -> int:
    import datasets
    from tokenizers import Tokenizer

    datasets.disable_progress_bars()
    library: Any = Tokenizer.from_file(str(Path(tokenizer) / "tokenizer.json"))
    end = library.token_to_id("<|endoftext|>")

    def tokens(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        found = library.encode_batch_fast(rows["text"], add_special_tokens=False)
        return {"tokens": [[*one.ids, end] for one in found]}

    features = datasets.Features({"tokens": datasets.List(datasets.Value("uint16"))})
    rows: Any = datasets.load_dataset("json", data_files=texts, split="train")
    # As large parts as ours are given to the library, since a file has 17 kB.
    done = rows.map(
        tokens, batched=True, batch_size=16, num_proc=processes, remove_columns=["text"],
        features=features,
    )  # fmt: skip
    return sum(len(chunk.values) for chunk in done.data.column("tokens").chunks)


WAYS = {"star": star, "map_processes": map_processes, "map_threads": map_threads}

if __name__ == "__main__":
    way, texts, tokenizer = sys.argv[1:]
    start = time.perf_counter()
    count = WAYS[way](texts, tokenizer)
    seconds = time.perf_counter() - start
    own, children = (resource.getrusage(who) for who in WHOSE)
    processor = sum(part for usage in (own, children) for part in usage[:2])
    found = {"seconds": round(seconds, 2), "processor_seconds": round(processor, 2)}
    print(json.dumps({**found, "tokens": count}))
