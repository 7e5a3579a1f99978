"""Training states in a folder, and behind a file system that is no folder of this machine."""

import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from star.base.errors import UserError
from star.evaluation.states import StateStore


class Torn(MemoryFileSystem):
    """A remote file system whose connection breaks in the middle of an upload."""

    protocol = "torn"
    store: dict = {}  # noqa: RUF012  # as the base has them
    pseudo_dirs: list = [""]  # noqa: RUF012

    def put_file(self, lpath: str, rpath: str, *args: object, **kwargs: object) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes()[:1])
        raise ConnectionError("the other side is gone")


class Far(DirFileSystem):
    """A folder behind a name of its own, so that nothing takes it for one of this machine."""

    protocol = "far"

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(path="/", fs=LocalFileSystem(), **{"skip_instance_cache": True})

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("far://")


@pytest.fixture(autouse=True)
def file_systems() -> None:
    fsspec.register_implementation("torn", Torn, clobber=True)
    fsspec.register_implementation("far", Far, clobber=True)
    MemoryFileSystem.store.clear()


def urls(folder: Path) -> list[str]:
    return [str(folder), f"file://{folder}", "memory://states", f"far://{folder}"]


def write(store: StateStore, name: str, content: bytes) -> None:
    with store.opened(name) as path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(store: StateStore, name: str) -> bytes | None:
    with store.opened(name) as path:
        return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("kind", range(4), ids=["folder", "file", "memory", "far"])
def test_what_was_written_is_there_until_it_is_cleared(kind: int, tmp_path: Path) -> None:
    url = urls(tmp_path / "states")[kind]
    store = StateStore(url)
    assert read(store, "a") is None
    store.clear()  # of nothing
    write(store, "a", b"one")
    write(store, "b", b"two")
    write(store, "a", b"three")
    other = pickle.loads(pickle.dumps(store))  # as a worker gets it
    assert (read(other, "a"), read(other, "b"), read(other, "c")) == (b"three", b"two", None)
    other.clear()
    assert read(store, "a") is None


def test_stores_of_one_place_are_apart(tmp_path: Path) -> None:
    first, second = StateStore(f"far://{tmp_path}/1"), StateStore(f"far://{tmp_path}/2")
    write(first, "a", b"one")
    first.clear()
    write(second, "a", b"two")
    first.clear()
    assert read(second, "a") == b"two"


def test_what_is_only_read_is_not_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateStore("memory://states")
    write(store, "a", b"one")

    def refuse(*args: object) -> None:
        raise AssertionError("uploaded")

    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    assert read(store, "a") == b"one"


def test_half_an_upload_is_never_read_and_no_failure_of_the_candidate() -> None:
    store = StateStore("torn://states")
    write(store, "a", b"whole")
    assert any(Torn.store.values())  # what there is of it
    assert read(store, "a") is None


@pytest.mark.slow
def test_another_process_reads_it(tmp_path: Path) -> None:
    store = StateStore(f"file://{tmp_path}/states")
    write(store, "a", b"one")
    code = (
        "import pickle, sys; store = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "with store.opened('a') as path: print(path.read_text())"
    )
    command = [sys.executable, "-c", code, pickle.dumps(store).hex()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "one\n"


def test_an_unknown_protocol_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^executor.states=nope://x: .*expected a folder or an"):
        StateStore("nope://x")
