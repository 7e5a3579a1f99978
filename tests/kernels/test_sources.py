"""A certificate ends with any change of the code that ran, and with no other."""

import ast
import shutil
from pathlib import Path

import pytest

from star.kernels.dispatch.sources import FOLDERS, KERNELS, source_digest, sources
from star.kernels.harness.registry import OPERATIONS

EVERY_OPERATION = pytest.mark.parametrize("name", OPERATIONS)
NOT_RUN = ("cases.py",)
OF_ALL = {
    "checks.py",
    "dispatch/__init__.py",
    "dispatch/certificates.py",
    "dispatch/sources.py",
}
FOLDERS_OF_PRIMITIVES = sorted({FOLDERS.get(name, name) for name in OPERATIONS})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "certified")
    return Path(shutil.copytree(KERNELS, tmp_path / "kernels", ignore=ignore))


def relative(name: str, root: Path = KERNELS) -> set[str]:
    return {path.relative_to(root).as_posix() for path in sources(name, root)}


def imports_triton_tools(path: Path) -> bool:
    return "from ..triton_tools import" in path.read_text()


@EVERY_OPERATION
def test_all_files_of_the_primitive_but_its_cases_count(name: str) -> None:
    folder = KERNELS / FOLDERS.get(name, name)
    own = {path.relative_to(KERNELS).as_posix() for path in folder.glob("*.py")}
    found = relative(name)
    assert own - found == {f"{folder.name}/{name}" for name in NOT_RUN}
    assert found >= OF_ALL
    assert ("triton_tools.py" in found) == any(map(imports_triton_tools, folder.glob("triton*.py")))
    assert not any(path.startswith("harness/") for path in found)


@EVERY_OPERATION
def test_an_edit_of_any_file_that_runs_ends_the_certificate(name: str, copy: Path) -> None:
    before = source_digest(name, copy)
    assert before == source_digest(name)
    for path in sources(name, copy):
        text = path.read_bytes()
        path.write_bytes(text + b"# edited\n")
        assert source_digest(name, copy) != before, path
        path.write_bytes(text)
    assert source_digest(name, copy) == before


@EVERY_OPERATION
def test_an_edit_of_what_does_not_run_keeps_it(name: str, copy: Path) -> None:
    before = source_digest(name, copy)
    folder = copy / FOLDERS.get(name, name)
    for path in (folder / "cases.py", copy / "harness" / "operation.py", copy / "bench.py"):
        path.write_text("")
    assert source_digest(name, copy) == before


def test_what_a_primitive_imports_of_another_counts() -> None:
    assert "linear_attention/operator.py" in relative("pairwise_attention")
    assert "swiglu/__init__.py" not in relative("pairwise_attention")
    assert {"chunks.py", "dtypes.py", "triton_tools.py"} <= relative("ssd") & relative(
        "gated_delta_rule"
    )


@pytest.mark.parametrize(
    "line",
    [
        "from ..extra import thing",
        "from .. import extra",
        "from star.kernels import extra",
        "import star.kernels.extra",
        "def f():\n    from ..extra import thing",
        "from ..extra import (\n    thing,\n)",
    ],
)
def test_every_form_of_import_is_seen(line: str, copy: Path) -> None:
    (copy / "extra.py").write_text("from .deeper.inner import thing\n")
    (copy / "deeper").mkdir()
    (copy / "deeper" / "__init__.py").write_text("")
    (copy / "deeper" / "inner.py").write_text("thing = 1\n")
    path = copy / "swiglu" / "operator.py"
    path.write_text(path.read_text() + line + "\n")
    assert {"extra.py", "deeper/__init__.py", "deeper/inner.py"} <= relative("swiglu", copy)


def test_line_ends_do_not_count(copy: Path) -> None:
    before = source_digest("swiglu", copy)
    path = copy / "swiglu" / "triton.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert source_digest("swiglu", copy) == before


def test_an_unknown_operation_has_no_sources() -> None:
    with pytest.raises(KeyError, match="no_such_operation"):
        source_digest("no_such_operation")


def imported(path: Path) -> set[str]:
    """Modules that a file imports from, as they are written."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module.rstrip('.')}.{alias.name}" for alias in node.names}
            names.add(module)
    return names


@pytest.mark.parametrize("folder", FOLDERS_OF_PRIMITIVES)
def test_a_reference_shares_nothing_with_what_it_judges(folder: str) -> None:
    assert {name.split(".")[0] for name in imported(KERNELS / folder / "reference.py")} == {"torch"}


@pytest.mark.parametrize("folder", FOLDERS_OF_PRIMITIVES)
def test_only_the_choice_of_a_path_and_the_cases_know_the_reference(folder: str) -> None:
    knowing = {
        path.name for path in (KERNELS / folder).glob("*.py") if ".reference" in imported(path)
    }
    assert knowing <= {"__init__.py", "operator.py", "cases.py"}


@pytest.mark.parametrize("folder", FOLDERS_OF_PRIMITIVES)
def test_every_primitives_folder_has_the_same_grammar(folder: str) -> None:
    names = {path.stem for path in (KERNELS / folder).glob("*.py")}
    assert names >= {"__init__", "operator", "reference", "cpu", "triton", "cases"}
    rest = names - {"__init__", "operator", "reference", "cpu", "triton", "cases"}
    assert all(name.startswith(("cpu_", "triton_")) for name in rest)
