"""Genome files: one genome a YAML file, read safely and validated, and the library of saved
designs."""

import os
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from star.base.errors import UserError, shown
from star.base.reading import expanded, is_folder, kind_of, list_folder, read_text
from star.base.safe_yaml import parse_yaml

from .alphabets import HYBRID, OPERATORS, Alphabet, get_alphabet, with_operators
from .errors import GenomeError
from .genome import Genome, Liv, fit_depth
from .identity import current_id
from .operators import LivClass, read_code

SCHEMA = 1
CHECKPOINT = ("genome.yaml", "model.yaml")  # in its folder, the genome first
_KEYS = {
    "schema": int,
    "name": str,
    "alphabet": str,
    "operators": dict,
    "genome": str,
    "pattern": str,
    "notes": str,
    "metrics": dict,
    "parents": list,
    "settings": dict,
}


@dataclass(frozen=True)
class GenomeFile:
    """The content of a genome file.

    `pattern` tells that the genome is a motif to be repeated or cut to the wanted depth, not one
    fixed backbone. `metrics` maps names to numbers (or text), `parents` lists genome ids.
    `settings` are those of the run that it comes from, by section (`model`, `cache`, `training`,
    `data`), which `star.runs.origin` reads.
    """

    name: str
    genome: Genome
    pattern: bool = False
    notes: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        content = parse_yaml(text, source)
    except UserError as error:
        raise GenomeError(str(error)) from None
    if not isinstance(content, dict):
        raise GenomeError(f"{source}: expected a mapping with the keys {', '.join(_KEYS)}")
    return content


def _quoted(value: Any) -> str:
    """A value from a file, in an error."""
    return shown(repr(value), 60)


def _check_keys(content: dict[str, Any], source: str) -> None:
    schema = content.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise GenomeError(f"{source}: key 'schema' is {_quoted(schema)}, expected {SCHEMA}")
    if schema > SCHEMA:
        raise GenomeError(
            f"{source}: key 'schema' is {schema}, but this version reads up to {SCHEMA}; upgrade "
            f"star-synthesis"
        )
    unknown = [str(key) for key in content if key not in _KEYS]
    if unknown:
        raise GenomeError(
            f"{source}: unknown key {_quoted(unknown[0])}, expected only {', '.join(_KEYS)}"
        )
    for key, kind in _KEYS.items():
        if key in content and not isinstance(content[key], kind):
            raise GenomeError(
                f"{source}: key {key!r} is {_quoted(content[key])}, expected {kind.__name__} "
                "(quote text that looks like a number)"
            )
    if ("genome" in content) == ("pattern" in content):
        raise GenomeError(f"{source}: expected exactly one of the keys 'genome' and 'pattern'")


def parse_genome_file(text: str, source: str) -> GenomeFile:
    """Read the text of a genome file; `source` names it in errors.

    Raises `GenomeError` for anything but a valid genome of a known schema with known keys.
    """
    content = _parse_yaml(text, source)
    _check_keys(content, source)
    try:
        written = content["pattern" if "pattern" in content else "genome"]
        alphabet = get_alphabet(_placed(content.get("alphabet", "star"), source))
        operators = content.get("operators")
        genome = (
            Genome.from_text(written, alphabet).check()
            if operators is None
            else _read(written, alphabet, operators)
        )
    except GenomeError as error:
        raise GenomeError(f"{source}: {error}") from None
    return GenomeFile(
        name=content.get("name", Path(source).stem),
        genome=genome,
        pattern="pattern" in content,
        notes=content.get("notes", ""),
        metrics=content.get("metrics", {}),
        settings=content.get("settings", {}),
        parents=[current_id(str(parent)) for parent in content.get("parents", [])],
    )


def _placed(alphabet: str, source: str) -> str:
    """The name of an alphabet; of the hybrid beside a file, with the file's folder."""
    return f"{HYBRID}{Path(source).parent}" if alphabet == f"{HYBRID}." else alphabet


def _read(text: str, alphabet: Alphabet, operators: dict[Any, Any]) -> Genome:
    """A genome with classes that its alphabet lacks. operators: their codes by the ids they have in
    the text.

    Ids are of the file alone: those of `with_operators` may be others.
    """
    letters = with_operators(alphabet)
    ids = {number: number for number in alphabet.ids}
    for number, code in operators.items():
        if type(number) is not int or not isinstance(code, str):
            raise GenomeError(
                f"key 'operators' has {_quoted(number)}: {_quoted(code)}, expected a class id and "
                f"a quoted code: 23: '12213'"
            )
        if number in alphabet.by_id:
            raise GenomeError(
                f"key 'operators' has {number}, which is {alphabet.by_id[number].name} in alphabet "
                f"{alphabet.name}; "
                "expected an id that it lacks"
            )
        ids[number] = _class_of(code, letters).id
    written = Genome.from_text(text, alphabet)
    used: dict[int, int] = {}  # ids in the file by ids of `letters`
    for index, liv in enumerate(written.livs):
        number = liv.liv_class
        if number not in ids:
            raise GenomeError(
                f"LIV {index} gene liv_class: {number} is neither in alphabet {alphabet.name} nor "
                f"in key 'operators'"
            )
        if used.setdefault(ids[number], number) != number:
            raise GenomeError(
                f"key 'operators': {number} and {used[ids[number]]} are the same class"
            )
    livs = tuple(Liv(ids[liv[0]], *liv[1:]) for liv in written.livs)
    return Genome(livs, letters, written.backbone).check()


def _class_of(code: str, letters: Alphabet) -> LivClass:
    operator, differential = read_code(code)
    normal = LivClass.unnamed(0, operator, differential).code  # a code may be written with dots
    if normal not in letters.by_code:
        raise GenomeError(f"operator genome {code!r} has no class; register_class gives it one")
    return letters.by_code[normal]


def _named_alphabet(genome: Genome) -> tuple[str, dict[int, str]]:
    """The alphabet to write a genome with, and the codes of the classes that it lacks, by id."""
    name = genome.alphabet.name
    if not name.endswith(OPERATORS):
        return name, {}
    alphabet = get_alphabet(name.removesuffix(OPERATORS))
    lacking = {
        liv_class.id: liv_class.code
        for liv_class in genome.classes()
        if liv_class.id not in alphabet.by_id
    }
    return alphabet.name, dict(sorted(lacking.items()))


def _read_text(path: str | Path) -> str:
    try:
        return read_text(Path(path))
    except UserError as error:
        raise GenomeError(str(error)) from None


def read_genome_file(path: str | Path) -> GenomeFile:
    """Read a genome file. Raises `GenomeError` naming the file and what is wrong with it."""
    return parse_genome_file(_read_text(path), str(path))


def read_genome_settings(path: str | Path) -> dict[str, Any]:
    """The settings that a genome file carries, without its genome, whose classes may be of a plugin
    that is not loaded yet. Raises `GenomeError` naming the file and what is wrong with it."""
    content = _parse_yaml(_read_text(path), str(path))
    _check_keys(content, str(path))
    return content.get("settings", {})


def genome_file_text(content: GenomeFile) -> str:
    """The text of a genome file, which `parse_genome_file` reads back to an equal value.

    Of a genome over an alphabet with operators, the file holds the codes of those that the named
    alphabet lacks; without such, the genome comes back over the named alphabet.
    """
    alphabet, operators = _named_alphabet(content.genome)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": content.name,
        "alphabet": alphabet,
        **({"operators": operators} if operators else {}),
        "pattern" if content.pattern else "genome": content.genome.to_text(),
    }
    optional = {key: getattr(content, key) for key in ("notes", "metrics", "parents", "settings")}
    document.update({key: value for key, value in optional.items() if value})
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def write_genome_file(path: str | Path, content: GenomeFile) -> None:
    """Write a genome file that `read_genome_file` reads back to an equal value."""
    Path(path).write_text(genome_file_text(content), encoding="utf-8")


_LIBRARIES: dict[str, Path] = {}  # genome files of users, by library name


def _library() -> dict[str, Traversable]:
    ours = (files("star.genomes") / "library").iterdir()
    found = {e.name.removesuffix(".yaml"): e for e in ours if e.name.endswith(".yaml")}
    return {**found, **_LIBRARIES}


def add_library(folder: str | Path) -> None:
    """Make the genome files of a folder (`*.yaml`) library designs, under their names without the
    suffix.

    To add the same folder again is harmless, and adds what is new in it. Raises `GenomeError` for a
    folder that does not exist or holds no genome file, and for a name that another file has.
    """
    try:
        is_there = is_folder(folder, "library")
        entries = [Path(e.path) for e in list_folder(folder, "library")] if is_there else []
    except UserError as error:
        raise GenomeError(str(error)) from None
    paths = {path.stem: path.resolve() for path in entries if path.suffix == ".yaml"}
    if not paths:
        raise GenomeError(f"library {folder}: expected a folder with genome files (*.yaml)")
    known = _library()
    for name, path in paths.items():
        if known.get(name, path) != path:
            raise GenomeError(f"library {folder}: {name!r} is the name of {known[name]} already")
    _LIBRARIES.update(paths)


def library_names() -> list[str]:
    """Names of the saved designs: those in `genomes/library` and in folders that `add_library` was
    given, sorted."""
    return sorted(_library())


def read_library(name: str) -> GenomeFile:
    """Read a saved design. Raises `GenomeError` listing the available names when there is none of
    that name."""
    library = _library()
    if name not in library:
        raise GenomeError(
            f"library genome {shown(name)!r} is unknown; available: {', '.join(sorted(library))}"
        )
    if name in _LIBRARIES:
        return read_genome_file(_LIBRARIES[name])
    return parse_genome_file(library[name].read_text(encoding="utf-8"), f"{name}.yaml")


def is_genome_text(reference: str) -> bool:
    """Whether a reference can be a genome's text only, and neither a path nor a name."""
    return bool(reference) and set(reference) <= set("0123456789.-")


def genome_path(reference: str) -> Path:
    """The path that a reference names; of a checkpoint's folder that of its genome file, unless a
    design of the library is called like the folder."""
    path = expanded(reference)
    is_checkpoint = all(os.path.isfile(path / name) for name in CHECKPOINT)
    return path / CHECKPOINT[0] if is_checkpoint and reference not in library_names() else path


def _read_named(reference: str) -> GenomeFile:
    """The genome file at a path, or in a checkpoint's folder, or the library design of that
    name."""
    try:
        path = genome_path(reference)
        what = kind_of(path, "genome")
    except UserError as error:
        raise GenomeError(str(error)) from None
    if what == "a folder" and reference not in library_names():
        raise GenomeError(
            f"genome={reference}: is a folder, expected a genome file, its text or a design's name"
        )
    is_path = path.suffix in {".yaml", ".yml"} or what not in ("", "a folder")
    return read_genome_file(path) if is_path else read_library(reference)


def at_depth(genome: Genome, depth: int | None, source: str) -> tuple[Genome, list[str]]:
    """The genome repeated or cut to a depth, and a notice of it where it had another.

    Args:
        genome: at its own depth.
        depth: number of LIVs; None is its own.
        source: names it in the notice.
    """
    if depth is None or depth == genome.depth:
        return genome, []
    change = "repeated" if depth > genome.depth else "cut"
    notice = f"{source}: {change} from depth {genome.depth} to {depth}"
    return fit_depth(genome, depth), [notice]


def load_genome(
    reference: str, depth: int | None = None, alphabet: str = "star"
) -> tuple[Genome, str, list[str]]:
    """A genome from a library name, a file path or the text form, at the wanted depth.

    depth: number of LIVs; None keeps a file's or text's own. Returns the genome, its name and
    notices, for example that a fixed genome was repeated or cut. Raises `GenomeError` for anything
    that is none of the three, and for an unknown alphabet.
    """
    get_alphabet(alphabet)
    if is_genome_text(reference):
        genome, name, is_pattern = Genome.from_text(reference, alphabet).check(), "genome", False
    else:
        content = _read_named(reference)
        genome, name, is_pattern = content.genome, content.name, content.pattern
    genome, notices = at_depth(genome, depth, reference)
    return genome, name, [] if is_pattern else notices
