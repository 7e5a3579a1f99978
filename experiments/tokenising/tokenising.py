"""How fast is text tokenised, in how much memory, and does kill -9 change a shard? Beside the `map`
of Hugging Face's `datasets`.

    pip install datasets pyarrow
    python experiments/tokenising/tokenising.py
    python experiments/tokenising/tokenising.py --megabytes 4 --rounds 1

Documents are files of Python's standard library, over and over with their lines shuffled and some
names changed, a row each of a .jsonl file. All tokenise with the same BPE, which `star.data` trains
before. Each way is a process of its own; the ways take turns. On a machine that does other work the
seconds of processors tell more than those of the clock. Memory is the most private memory (RssAnon)
of the process and its children together, looked at 20 times a second. Writes results.csv beside
this file.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from star.data import DataConfig
from star.data.sources import list_documents
from star.data.subwords import train_bpe

HERE = Path(__file__).parent
WAYS = HERE / "ways.py"
MEGABYTE = 10**6
TRAINED_ON = 10 * MEGABYTE
VOCABULARY = 4096
PAUSE = 0.05  # seconds between looks at the memory
RESUMED = "star, after two kill -9"
TIMED = ("star", "map_processes", "map_threads")


def texts(size: int) -> Iterator[str]:
    """So many bytes of documents, no two alike."""
    contents = filter(None, (document.read() for document in list_documents(DataConfig())))
    sources = [content.decode("utf-8", "replace") for content in contents]
    chooser, written = random.Random(0), 0
    while written < size:
        lines = chooser.choice(sources).splitlines()
        chooser.shuffle(lines)
        name = f"name_{chooser.randrange(10**6)}"
        text = re.sub(r"\bself\b", name, "\n".join(lines))
        written += len(text.encode())
        yield text


def write_texts(path: Path, size: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for text in texts(size):
            stream.write(json.dumps({"text": text}) + "\n")


def private_memory(process: int) -> int:
    """Bytes of a process and its children; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return 0
    own = re.search(r"RssAnon:\s+(\d+) kB", status)
    return (int(own[1]) * 1024 if own else 0) + sum(private_memory(int(c)) for c in children)


def measured(way: str, texts: Path, tokenizer: Path, cache: Path) -> dict[str, object]:
    """Seconds, tokens, and the most memory of one way, in a process of its own."""
    command = [sys.executable, str(WAYS), way, str(texts), str(tokenizer)]
    environment = {**os.environ, "STAR_CACHE_DIR": str(cache), "HF_HOME": str(cache)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        most = max(most, private_memory(process.pid))
        time.sleep(PAUSE)
    assert process.stdout is not None and process.returncode == 0, way
    found = json.loads(process.stdout.read().splitlines()[-1])
    return {
        "way": way,
        "megabytes": round(texts.stat().st_size / MEGABYTE),
        **found,
        "memory": most,
    }


def digests(cache: Path) -> dict[str, str]:
    """Of every file of the tokenised corpus."""
    (entry,) = (cache / "tokens").iterdir()
    return {
        str(path.relative_to(entry)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(entry.rglob("*"))
        if path.is_file()
    }


def killed_and_resumed(texts: Path, tokenizer: Path, cache: Path) -> dict[str, object]:
    """Kill -9 at about a quarter and a half, then go on; seconds of what was left."""
    command = [sys.executable, str(WAYS), "star", str(texts), str(tokenizer)]
    environment = {**os.environ, "STAR_CACHE_DIR": str(cache)}
    whole = texts.stat().st_size // 2**23
    for wanted in (max(1, whole // 4), max(1, whole // 2)):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(cache.rglob("shards/*.json"))) < wanted:
            time.sleep(PAUSE)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    return {**measured("star", texts, tokenizer, cache), "way": RESUMED}


def main() -> None:
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = folder / "tokenizer"
        tokenizer.mkdir()
        train_bpe((text.encode() for text in texts(TRAINED_ON)), VOCABULARY).save(tokenizer)
        sizes = (given.megabytes // 4, given.megabytes)
        for size in sizes:
            write_texts(folder / f"{size}.jsonl", size * MEGABYTE)
        largest = folder / f"{sizes[-1]}.jsonl"
        for number in range(given.rounds):
            for way in TIMED:
                cache = folder / f"cache_{number}_{way}"
                rows.append(measured(way, largest, tokenizer, cache))
                print(rows[-1], flush=True)
                if way != "star" or number:
                    shutil.rmtree(cache)
        rows.append(measured("star", folder / f"{sizes[0]}.jsonl", tokenizer, folder / "small"))
        rows.append(killed_and_resumed(largest, tokenizer, folder / "killed"))
        is_same = digests(folder / "killed") == digests(folder / "cache_0_star")
        assert is_same, "the shards differ after a kill"
    table = pd.DataFrame(rows)
    assert table["tokens"].nunique() == len(sizes), "the ways give other tokens"
    for seconds, name in (("seconds", "tokens_per_second"), ("processor_seconds", "per_processor")):
        table[name] = (table["tokens"] / table[seconds]).round()
        table.loc[table["way"] == RESUMED, name] = None  # its tokens are not all of these seconds
    table.to_csv(HERE / "results.csv", index=False)
    print(table.to_string(index=False))
    print("after two kill -9 every file of the corpus is the same")


if __name__ == "__main__":
    main()
