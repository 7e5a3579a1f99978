"""The documentation is true: its numbers are those that the code gives, its commands run."""

import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from star.genomes import (
    CacheSetting,
    ModelConfig,
    cache_bytes,
    library_names,
    load_genome,
    parameter_count,
)
from star.genomes.model_config import head_width
from star.genomes.served import served_bytes
from star.models import Cache, decode
from star.runs.origin import configured, read_origin
from tests.documents import elsewhere, smallest, snippets, verb

ROOT = Path(__file__).parents[1]
DEPTH, CONTEXT, MODEL = 24, 4096, ModelConfig(width=768)
BYTES = 2


def naive_bytes(mixers: int) -> int:
    heads = MODEL.width // head_width(MODEL)
    return 2 * mixers * heads * head_width(MODEL) * CONTEXT * BYTES


@pytest.mark.slow
def test_the_cache_table_of_the_library_designs_is_true() -> None:
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|$", text, re.MULTILINE
    )
    plain = [name for name in library_names() if read_origin(name) is None]
    assert [row[0] for row in rows] == plain
    for name, *numbers in rows:
        genome = load_genome(name, DEPTH)[0]
        predicted = cache_bytes(genome, MODEL, CacheSetting(CONTEXT, 1, "bfloat16"))
        with torch.device("meta"):
            allocated = Cache.allocate(decode(genome, MODEL), 1, CONTEXT, torch.bfloat16).nbytes
        naive = naive_bytes(sum(liv_class.name != "GMemless" for liv_class in genome.classes()))
        assert [int(number.replace(",", "")) for number in numbers[:3]] == [
            predicted,
            allocated,
            naive,
        ]
        assert float(numbers[3]) == round(naive / predicted, 1)


def test_the_table_of_released_designs_is_true() -> None:
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == [name for name in library_names() if read_origin(name)]
    for name, *numbers in rows:
        genome, sizes = load_genome(name)[0], configured(ModelConfig(), read_origin(name), "model")
        count, setting = parameter_count(genome, sizes), CacheSetting(131072)
        total = count.non_embedding + count.embedding
        costs = [total, cache_bytes(genome, sizes, setting), served_bytes(genome, sizes, setting)]
        assert numbers == [f"{cost:,}" for cost in costs], name


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERWISE = ("extending.md", "python.md")  # tests/test_extending.py runs all of them
EXAMPLE = ("+experiment=smoke", "scale=cpu", "executor.workers=1", "run_dir=runs/example")


def a_genome(line: str) -> str:
    """An id for `<genome_id>`: of the front of the run that the line names."""
    (folder,) = re.findall(r"=([\w/]+?)/(?:genomes/)?<genome_id>", line)
    return sorted(Path(folder).glob("genomes/*.yaml"))[-1].stem


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]) -> Path:
    """A home with texts and a run, `runs/example`, where documents say `runs/<run>`."""
    (tmp_path / "texts").mkdir()
    for number in range(8):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"Text {number} of mine. " * 400)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command("evolve", *EXAMPLE, cwd=tmp_path).returncode == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_runs(document: Path, home: Path, command: Callable[..., Any]) -> None:
    """In the smallest form that `tests/documents.py` has for it, one after the other."""
    if document.name in OTHERWISE:
        pytest.skip("tests/test_extending.py")
    for snippet in snippets(document.read_text(encoding="utf-8")):
        line = snippet.text.replace("<run>", "example")
        if snippet.language == "python":
            exec(compile(line, str(document), "exec"), {"__name__": "__main__"})
        elif verb(line):
            ids = {"<genome_id>": a_genome(line)} if "<genome_id>" in line else {}
            run = run_kernels if verb(line).startswith("kernels.") else command
            result = run(verb(line), *smallest(line, ids), cwd=home)
            assert result.returncode == 0, f"{line}: {result.stderr}"
        elif not elsewhere(line):
            subprocess.run(["bash", "-euo", "pipefail", "-c", line], cwd=home, check=True)


def run_kernels(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -m star.kernels.<name>`, which is no command of the configuration."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STAR_CACHE_DIR": str(cwd / "cache")}
    return subprocess.run(
        ["python", "-m", f"star.{name}", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_documents_hold_commands_and_each_has_a_form() -> None:
    lines = [s.text for d in DOCUMENTS for s in snippets(d.read_text(encoding="utf-8"))]
    ours = [line for line in lines if verb(line)]
    assert len(ours) > 40
    for line in ours:
        smallest(line, {})


def test_a_command_without_a_form_is_noticed() -> None:
    (snippet,) = snippets("Try\n\n    python -m star.dream depth=3  # soon\n")
    assert snippet.text == "python -m star.dream depth=3"
    with pytest.raises(KeyError):
        smallest(snippet.text, {})


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("star train genome=lfm2 steps=900 # long", ["genome=lfm2", "steps=3"]),
        ("python -m star.evolve +experiment=tabular", ["+experiment=tabular"]),
        ("star evolve executor=ray executor.address=auto", ["executor=ray", "training.steps=4"]),
        ("star describe genome=runs/mine/<genome_id>", ["genome=runs/mine/abc"]),
        ("star evolve --help", ["--help"]),
    ],
)
def test_the_smallest_form_keeps_what_a_command_is_about(line: str, form: list[str]) -> None:
    (snippet,) = snippets(f"```bash\n{line}\n```\n")
    found = smallest(snippet.text, {"<genome_id>": "abc"})
    assert set(form) <= set(found) and "executor.address=auto" not in found
    assert len(found) == len({part.partition("=")[0] for part in found})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert anchor in slugs, target


def test_only_what_is_published_is_installed_by_name() -> None:
    """This package is not; its extras are those of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    files = [*DOCUMENTS, *(ROOT / "star").rglob("*.py"), *(ROOT / "experiments").rglob("*.md")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "star-synthesis[" not in text, path
        for extras in re.findall(r"pip install (?:-e )?'?\.\[([\w,]+)\]", text):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), path
