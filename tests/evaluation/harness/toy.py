"""Tasks of our own with their data, for the harness without a hub."""

import json
import random
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

CHOICE, ROLLING, GENERATE, GROUP = "toy_choice", "toy_rolling", "toy_generate", "toy_group"
WORDS = (
    *("def", "return", "class", "import", "self", "if", "for", "while", "try", "except"),
    *("raise", "yield", "Größe"),
)
DOCUMENTS = 12
COMMON = {
    "dataset_path": "json", "test_split": "test", "fewshot_split": "test",
    "metadata": {"version": 1},
}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    CHOICE: {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    ROLLING: {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}} {{question}} {{question}}",
        "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
    },
    GENERATE: {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n", "e"], "max_gen_toks": 12},
        "metric_list": [{"metric": "exact_match"}],
    },
}
GROUPS = {GROUP: [CHOICE, GENERATE]}


def documents(count: int = DOCUMENTS) -> list[dict[str, Any]]:
    """Questions of unequal lengths with two to four choices."""
    drawn = random.Random(0)
    found = []
    for _ in range(count):
        choices = drawn.sample(WORDS, drawn.choice([2, 3, 4]))
        question = " ".join(drawn.choices(WORDS, k=drawn.randint(2, 12)))
        found.append({"question": question, "choices": choices, "answer": drawn.randint(0, 1)})
    return found


def write_tasks(folder: Path) -> Path:
    """The files of the tasks; JSON is YAML."""
    data = folder / "documents.jsonl"
    data.write_text("".join(f"{json.dumps(one)}\n" for one in documents()))
    files = {"data_files": {"test": str(data)}}
    for name, task in TASKS.items():
        content = {"task": name, **COMMON, "dataset_kwargs": files, **task}
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    for name, members in GROUPS.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"group": name, "task": members}))
    return folder


@lru_cache(maxsize=1)
def shared_tasks() -> Path:
    """The same, for all tests that only read them."""
    return write_tasks(Path(tempfile.mkdtemp()))
