"""Texts to train on: globs, links, encodings, files that vanish, and the corpus cache."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from launch import Process

from cases.case import Case, Expected, Scratch, done, either, fine, refused, smoke, train

BYTES = os.fsdecode(b"caf\xe9.txt")
OWN_CACHE = (("STAR_CACHE_DIR", "cache"),)


def _texts(place: Scratch) -> Path:
    return place.copy("texts")


def _linked(place: Scratch) -> None:
    (_texts(place) / "self").symlink_to(".")


def _linked_twice(place: Scratch) -> None:
    _linked(place)
    (place / "texts/up").symlink_to("..")


def _hard_links(place: Scratch) -> None:
    texts = _texts(place)
    for path in list(texts.iterdir()):
        os.link(path, texts / f"other_{path.name}")


def _linked_folder(place: Scratch) -> None:
    (place / "all").mkdir()
    _texts(place)
    (place / "all/linked").symlink_to("../texts")
    place.text("all/one.txt", "hello " * 200)
    place.text("all/two.txt", "goodbye " * 200)


def _only(content: bytes, files: int = 4) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        for number in range(files):
            place.text(f"texts/{number}.txt", content)

    return prepare


def _with_file(name: str, content: bytes = b"text " * 200) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        _texts(place)
        (place / "texts" / name).write_bytes(content)

    return prepare


def _with_pipe(place: Scratch) -> None:
    os.mkfifo(_texts(place) / "pipe.txt")


def _with_device(place: Scratch) -> None:
    (_texts(place) / "zero.txt").symlink_to("/dev/zero")


def _with_dangling(place: Scratch) -> None:
    (_texts(place) / "gone.txt").symlink_to("none_such")


def _deep(place: Scratch) -> None:
    path = _texts(place)
    here = os.getcwd()
    os.chdir(path)
    try:
        for _ in range(600):  # deeper than a path may be long
            os.mkdir("abcdefgh")
            os.chdir("abcdefgh")
        Path("deep.txt").write_text("deep " * 100)
    finally:
        os.chdir(here)


Prepare = Callable[[Scratch], object]
TEXTS: Mapping[str, tuple[Prepare, str, Expected]] = {
    # name: preparation, data.path, expected
    "a glob over a link to itself": (_linked, "texts/**/*", done()),
    "a glob over two such links": (_linked_twice, "texts/**/*", done()),
    "a folder with a link to itself": (_linked, "texts", done()),
    "a folder with two such links": (_linked_twice, "texts", done()),
    "hard links": (_hard_links, "texts", done()),
    "a link to a folder": (_linked_folder, "all", done()),
    "a name that is not UTF-8": (_with_file(BYTES), "texts", either("data")),
    "a name with markup": (_with_file("[bold]x.txt"), "texts", done()),
    "a name of two lines": (_with_file("a\nb.txt"), "texts", done()),
    "a name of 255 bytes": (_with_file("a" * 251 + ".txt"), "texts", done()),
    "a pipe among them": (_with_pipe, "texts", done()),
    "a device among them": (_with_device, "texts", done()),
    "a link to nothing among them": (_with_dangling, "texts", done()),
    "folders deeper than a path": (_deep, "texts", either("data")),
    "an empty file among them": (_with_file("empty.txt", b""), "texts", done()),
    "a binary file among them": (_with_file("b.bin", bytes(range(256)) * 9), "texts", done()),
    "files that are not UTF-8": (_only(b"caf\xe9 \xff\xfe " * 200), "texts", either("data")),
    "empty files": (_only(b""), "texts", refused("data.path")),
    "binary files": (_only(b"\0" * 500), "texts", refused("data.path")),
    "files too short to train on": (_only(b"ab"), "texts", refused()),
    "one file": (_only(b"text " * 500, 1), "texts", refused("data.path")),
    "one file, named": (_only(b"text " * 500, 1), "texts/0.txt", refused("data.path")),
    "no file": (lambda place: (place / "texts").mkdir(), "texts", refused("data.path")),
    "no folder": (lambda place: None, "texts", refused("data.path")),
    "a glob without a file": (_texts, "texts/*.none", refused("data.path")),
    "an open bracket": (_texts, "texts/[a-", refused("data.path")),
    "a folder with a bracket": (
        lambda place: place.copy("texts", "texts [1]"), "texts [1]", done()),
    "an empty path": (_texts, "''", refused("data.path")),
    "a tilde": (lambda place: None, "~/none_such", refused("data.path")),
    "a user without a home": (lambda place: None, "~none_such/x", refused("data.path")),
    "many globs": (_texts, "texts/**/**/**/**/*.txt", done()),
}  # fmt: skip


def _described(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        path = entry / "corpus.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def _replaced(content: bytes | None, name: str = "corpus.json") -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        if content is None:
            (entry / name).unlink()
        else:
            (entry / name).write_bytes(content)

    return damage


def _entry_as(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        shutil.rmtree(entry)
        make(entry)

    return damage


ENTRIES: Mapping[str, Callable[[Path], None]] = {
    "without a fingerprint": _described(lambda content: content.pop("fingerprint")),
    "with another fingerprint": _described(lambda content: content.update(fingerprint="0" * 64)),
    "with a number as fingerprint": _described(lambda content: content.update(fingerprint=5)),
    "of 900 levels": _replaced(b"[" * 9000 + b"]" * 9000),
    "of 5,000 digits": _replaced(b'{"train": ' + b"1" * 5000 + b"}"),
    "of a list": _replaced(b"[]"),
    "of null": _replaced(b"null"),
    "of nothing": _replaced(b""),
    "of bytes": _replaced(bytes(range(256))),
    "without a description": _replaced(None),
    "without training text": _replaced(None, "train.bin"),
    "with other training text": _replaced(b"other text" * 300, "train.bin"),
    "with a shorter validation text": _replaced(b"x", "validation.bin"),
    "that is a file": _entry_as(lambda entry: entry.write_text("x")),
    "that is a link to nothing": _entry_as(lambda entry: entry.symlink_to("none_such")),
    "that is a link to itself": _entry_as(lambda entry: entry.symlink_to(entry.name)),
    "that is an empty folder": _entry_as(lambda entry: entry.mkdir()),
}


def _damaged(damage: Callable[[Path], None]) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        shutil.rmtree(place / "run")
        (entry,) = (place / "cache/corpora").iterdir()
        damage(entry)

    return prepare


def _entries() -> Iterator[Case]:
    command = train("run_dir=run", "data.path=texts", steps=2)
    for name, damage in ENTRIES.items():
        again = Case("", command, done(), _damaged(damage), environment=OWN_CACHE)
        yield Case(
            f"data/a cache entry {name}",
            command,
            done(),
            _texts,
            again=again,
            environment=OWN_CACHE,
        )


def _changed(place: Scratch) -> None:
    """Other content of the same size and time."""
    for path in (place / "texts").iterdir():
        status = path.stat()
        path.write_bytes(path.read_bytes()[::-1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _change_while_training(place: Scratch, process: Process) -> bool:
    if not (place / "run/ledger.sqlite").exists():
        return False
    for path in (place / "texts").iterdir():
        path.write_text(path.read_text().upper())
    return True


def _changes() -> Iterator[Case]:
    for name, command in {
        "training": train("run_dir=run", "data.path=texts"),
        "search": smoke("run_dir=run", "data.path=texts"),
    }.items():
        again = Case("", command, refused("data"), _changed, environment=OWN_CACHE, limit=120)
        yield Case(
            f"data/other content of the same size and time before a {name} goes on",
            command,
            done(),
            _texts,
            again=again,
            environment=OWN_CACHE,
            limit=120,
        )
    yield Case(
        "data/files that change before the worker reads them",
        smoke("run_dir=run", "data.path=texts"),
        either("data"),
        _texts,
        meanwhile=_change_while_training,
        environment=OWN_CACHE,
        limit=120,
    )


def _once(place: Scratch) -> str:
    """Whether each file is in the corpus once, with the byte that separates files."""
    files = {path.stat().st_ino: path.stat().st_size for path in (place / "texts").glob("*.txt")}
    wanted = sum(files.values()) + len(files)
    found = sum(path.stat().st_size for path in (place / "cache/corpora").glob("*/*.bin"))
    return "" if found == wanted else f"the corpus has {found} bytes, the files have {wanted}"


# Of these the corpus is known: every file once.
PLAIN = ("a glob over a link to itself", "a folder with a link to itself", "hard links")


def _lists() -> Iterator[Case]:
    for name, (prepare, path, expected) in TEXTS.items():
        quoted = f"'{path}'" if set(path) & set("[ ") else path  # in Hydra's grammar
        words = train("run_dir=run", f"data.path={quoted}", steps=2)
        yield Case(
            f"data/{name}",
            words,
            expected,
            prepare,
            check=_once if name in PLAIN else fine,
            environment=OWN_CACHE,
            limit=40,
        )
    kinds = ("none_such", "no_module:name", "os:no_name", "os:getcwd", "json:loads", "''", "[a]")
    for kind in kinds:
        words = train("run_dir=run", f"data.kind={kind}", "data.path=null")
        yield Case(f"data/kind {kind}", words, refused("data.kind"))


CASES = (*_lists(), *_entries(), *_changes())
