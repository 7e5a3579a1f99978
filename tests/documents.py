"""The commands and snippets of the documents, in a form that takes seconds.

    python tests/documents.py docs/tutorial.md | bash -eux

prints such a script of one document. It needs nothing but the standard library.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The settings that a command gets, or its values for those that it has.
ADDED = {
    "evolve": {
        "scale": "cpu", "training.steps": "4", "training.validation_batches": "1",
        "search.population": "4", "search.generations": "1", "executor.workers": "1",
    },
    "train": {"steps": "3", "training.validation_batches": "1"},
    "hybridize": {
        "steps": "2", "hybrid.projector_steps": "1", "hybrid.search_steps": "2",
        "hybrid.programming.steps": "1", "training.validation_batches": "1",
    },
    "generate": {"tokens": "5"},
    "describe": {},
    "mad": {"preset": "quick", "steps": "2", "tasks": "[memorization]", "batch_size": "8"},
    "front": {},
    "report": {"figures": "false"},
    "aggregate": {"clusters": "2"},
    "extrapolate": {},
    "linearise": {
        "align.steps": "2", "gates.steps": "2", "distil.steps": "2",
        "training.validation_batches": "1",
    },
    "export": {},
    "adopt": {},
    "evaluate": {"limit": "2", "device": "cpu"},
    "validate": {
        "training.steps": "8", "training.validation_batches": "1", "validation.seeds": "2",
        "validation.sample": "1", "executor.workers": "1",
    },
    "kernels.certify": {"--quick": "", "--operation": "swiglu"},
    "kernels.bench": {"--quick": "", "--operation": "swiglu"},
}  # fmt: skip
TABULAR = {"search.generations": "1"}  # instead: all else is the table's own
# Beside: candidates that it can learn from.
PRESCREENED = {"search.generations": "3", "search.prescreen.minimum_rows": "10"}
# Beside: the limit on recall that these experiments have, so that all keep it.
LIMITED = ("cache_frontier", "deep_frontier")
RECALLING = {"constraints.recall_error": "1", "objectives.recall_error.steps": "2"}
REPLACED = {
    "loggers": "[tensorboard]",  # others ask for a key, or take long to begin
    "search.halving.rungs": "[1,2]", "executor.in_flight": "2", "training.rate_steps": "2",
    **RECALLING,
}  # fmt: skip
DROPPED = ("executor.address", "executor.gpus")  # need other machines than this one
CONSOLE = {"certify": "kernels.certify", "bench": "kernels.bench"}  # as `star` calls them

# Lines that do not begin a command of ours, and where else they are tried.
ELSEWHERE = {
    "pip install": ".ci/run and .ci/wheel; tests/test_docs.py looks at the extras",
    "pytest": ".ci/run",
    "ruff": ".ci/run",
    "ray start": "several machines; tests/evaluation/executors has a cluster of processes",
}
SHELL = ("python", "star", "pip", "ray", "pytest", "ruff", "mkdir", "cp")
OURS = re.compile(r"(?:python -m star\.|star )([\w.]+)(?= |$)")


@dataclass(frozen=True)
class Snippet:
    """A command line, or Python code."""

    language: str  # bash or python
    text: str


def snippets(document: str) -> Iterator[Snippet]:
    """Commands and Python of a document: fenced, indented, and whole commands inside a line."""
    lines = iter(document.splitlines())
    for line in lines:
        if line.startswith("```"):
            language, fenced = line[3:], []
            while not (line := next(lines)).startswith("```"):
                fenced.append(line)
            if language == "python":
                yield Snippet(language, "\n".join(fenced))
            elif language == "bash":
                yield from _commands(iter(fenced))
        elif line.startswith("    ") and line.split()[0] in SHELL:
            while line.endswith("\\"):
                line = line[:-1] + next(lines)
            yield from _commands(iter([line]))
        else:
            inline = re.findall(r"`([^`]+)`", line)
            yield from (Snippet("bash", text) for text in inline if OURS.match(text))


def _commands(lines: Iterator[str]) -> Iterator[Snippet]:
    for line in lines:
        while line.endswith("\\"):
            line = line[:-1] + next(lines)
        for part in re.sub(r"\s+# .*", "", line.strip()).split(" && "):
            if part and not part.startswith("#"):
                yield Snippet("bash", part)


def elsewhere(line: str) -> str:
    """Where a line is tried that a test does not run; empty for all others."""
    return next((where for begin, where in ELSEWHERE.items() if line.startswith(begin)), "")


def verb(line: str) -> str:
    """`evolve` of a command of ours, empty for other lines."""
    found = OURS.match(line)
    return CONSOLE.get(found[1], found[1]) if found else ""


def smallest(line: str, placeholders: Mapping[str, str]) -> list[str]:
    """The arguments of a command of ours in its smallest form.

    Args:
        line: as the document prints it.
        placeholders: what `<run>` and `<genome_id>` become.

    Raises:
        KeyError: for a command without a form.
    """
    for name, value in placeholders.items():
        line = line.replace(name, value)
    given = shlex.split(line)[2 if line.startswith("star") else 3 :]
    form = ADDED[verb(line)]
    if {"--help", "--version", "--cfg"} & set(given):
        form = {}
    elif any("tabular" in part for part in given):
        form = TABULAR
    if any(part.endswith(LIMITED) for part in given):
        form = {**form, **RECALLING}
    if any(part.startswith("search.prescreen.kind=") for part in given):
        form = {**form, **PRESCREENED}
    kept = [part for part in given if not part.startswith(DROPPED)]
    kept = [_replaced(part, {**REPLACED, **form}) for part in kept]
    keys = {part.partition("=")[0] for part in kept}
    if any(part.startswith("executor=") and part != "executor=processes" for part in kept):
        keys.add("executor.workers")  # which others do not have
    added = [_setting(key, value) for key, value in form.items() if key not in keys]
    return [*kept, *(part for option in added for part in option.split())]


def _replaced(part: str, values: Mapping[str, str]) -> str:
    key = part.partition("=")[0]
    return f"{key}={values[key]}" if values.get(key) else part


def _setting(key: str, value: str) -> str:
    return f"{key} {value}" if key.startswith("--") else f"{key}={value}"


def script(document: str) -> str:
    """A shell script of a document in its smallest form.

    `<genome_id>` is any genome of the run that the line names.
    """
    lines = []
    for snippet in snippets(document):
        if snippet.language == "python":
            lines += ["python - <<'SNIPPET'", snippet.text, "SNIPPET"]
        elif verb(snippet.text):
            arguments = shlex.join(smallest(snippet.text, {"<genome_id>": "GENOME_ID"}))
            named = re.search(r"=([\w/]+?)/(?:genomes/)?GENOME_ID", arguments)
            if named:
                files = f"{named[1]}/genomes/*.yaml"
                lines.append(f"GENOME_ID=$(basename -s .yaml {files} | head -1)")
            arguments = arguments.replace("GENOME_ID", '"$GENOME_ID"')
            lines.append(f"python -m star.{verb(snippet.text)} {arguments}")
        elif not elsewhere(snippet.text):
            lines.append(snippet.text)
    return "\n".join(lines)


if __name__ == "__main__":
    print(script(Path(sys.argv[1]).read_text(encoding="utf-8")))
