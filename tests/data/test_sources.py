"""Which files make up a corpus: each once, whatever links lead to it, and none lost quietly."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from star.base.errors import UserError
from star.data import DataConfig, load_corpus
from star.data.sources import list_documents, split

NAMES = ["a.txt", "b.txt", "sub/c.txt"]


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAR_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text(f"the text of {name} " * 20)
    return folder


def names(path: Path | str) -> list[str]:
    return [document.name for document in list_documents(DataConfig("files", str(path)))]


def links(folder: Path) -> None:
    """Circles, and further ways to files and folders that are there already."""
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("..")
    (folder / "0sub").symlink_to("sub")
    (folder / "0a.txt").symlink_to("a.txt")
    (folder / "sub" / "top").symlink_to(folder)
    (folder / "circle").symlink_to("circle")
    (folder / "nothing").symlink_to("missing")
    os.link(folder / "b.txt", folder / "b2.txt")


def test_links_add_nothing_to_a_folder(texts: Path) -> None:
    links(texts)
    assert names(texts) == NAMES


@pytest.mark.parametrize("pattern", ["**/*", "**", "**/*.txt", "**/**/*.txt", "*.txt"])
def test_links_add_nothing_to_a_glob(texts: Path, pattern: str) -> None:
    expected = [f"{texts}/{name}" for name in NAMES if pattern != "*.txt" or "/" not in name]
    assert names(f"{texts}/{pattern}") == expected
    links(texts)
    assert names(f"{texts}/{pattern}") == expected
    documents = list_documents(DataConfig("files", f"{texts}/{pattern}"))
    train, held = split(documents, 0.5)
    assert not {d.read() for d in train} & {d.read() for d in held}


def test_a_linked_folder_elsewhere_is_read_once(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.txt").write_text("more " * 30)
    for name in ("linked", "linked2"):
        (texts / name).symlink_to(tmp_path / "elsewhere")
    assert names(texts) == [*NAMES[:2], "linked/d.txt", NAMES[2]]
    assert len(names(f"{texts}/*/*.txt")) == 2 and len(names(f"{texts}/linked2/*.txt")) == 1


def test_globs_match_as_in_a_shell(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (texts / ".hidden").write_text("x")
    (texts / ".git").mkdir()
    (texts / ".git" / "d.txt").write_text("x")
    (texts / "x[1].txt").write_text("x")
    monkeypatch.chdir(texts.parent)
    assert names("texts/**/*.txt") == [
        "texts/a.txt",
        "texts/b.txt",
        "texts/sub/c.txt",
        "texts/x[1].txt",
    ]
    assert names("texts/.*") == ["texts/.hidden"]
    assert names("texts/[ab].txt") == ["texts/a.txt", "texts/b.txt"]
    assert names("texts/x[1].txt") == ["x[1].txt"]
    assert names("./texts/s*/c.txt") == ["texts/sub/c.txt"]
    assert names("../*/texts/?.txt")[0].startswith("../")


def test_names_that_are_not_utf8(texts: Path) -> None:
    with open(os.fsencode(texts) + b"/caf\xe9.txt", "wb") as stream:
        stream.write(b"the text of a name " * 20)
    assert "caf\udce9.txt" in names(texts)
    assert b"of a name" in bytes(load_corpus(DataConfig("files", str(texts))).train)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "is a named pipe; expected a folder, file or glob"),
        (make_socket, "is a socket; expected"),
        (lambda path: path.symlink_to(path), "no such file or folder"),
        (lambda path: path.symlink_to("/dev/null"), "is a device"),
        (lambda path: None, "no such file or folder"),
    ],
)
def test_what_holds_no_text_is_named(
    make: Callable[[Path], object], message: str, tmp_path: Path, texts: Path
) -> None:
    make(tmp_path / "odd")
    with pytest.raises(UserError, match=f"data.path={tmp_path}/odd: {message}"):
        names(tmp_path / "odd")
    if (tmp_path / "odd").exists():
        (tmp_path / "odd").rename(texts / "odd")
        assert names(texts) == NAMES


@pytest.mark.parametrize("name", ["n" * 300, "a/" * 3000, "x\0y", "n" * 300 + "/*"])
def test_paths_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^data.path(=|: )") as caught:
        names(tmp_path / name)
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_read_is_named(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def locked(path: Path | str) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", locked)
    for path in (texts, f"{texts}/**/*", f"{texts}/sub/*"):
        with pytest.raises(UserError, match=r"texts/sub cannot be read \(Permission denied\)"):
            names(path)


def test_a_file_that_goes_while_it_is_read(texts: Path) -> None:
    (document, *_) = list_documents(DataConfig("files", str(texts)))
    (texts / "a.txt").unlink()
    with pytest.raises(UserError, match=r"data file .*a.txt has gone"):
        document.stamp()
    with pytest.raises(UserError, match=r"data file .*a.txt: cannot be read"):
        document.read()


def test_a_path_in_the_home_folder(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(texts.parent))
    assert names("~/texts") == NAMES and len(names("~/texts/*.txt")) == 2
