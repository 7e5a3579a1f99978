"""Genome files, experiments and model descriptions that somebody else wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from cases.case import (
    Case,
    Expected,
    Scratch,
    describe,
    done,
    either,
    refused,
    tabular,
    train,
)

GOOD = 'schema: 1\nname: mine\nalphabet: star\ngenome: "11111-91111"\n'
DIGITS = "1" * 5000


def _with(line: str) -> str:
    """A good genome file with one more or another line."""
    key = line.partition(":")[0]
    kept = [given for given in GOOD.splitlines() if not given.startswith(f"{key}:")]
    return "\n".join([*kept, line, ""])


def alias_bomb(levels: int, last: str) -> str:
    """YAML whose last anchor stands for 10**levels values."""
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    for level in range(1, levels):
        aliases = ",".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    return "\n".join([*lines, last.format(f"*a{levels - 1}"), ""])


NESTED = "[" * 900 + "]" * 900
FILES: Mapping[str, tuple[str | bytes, Expected]] = {
    "an impossible date": (_with("name: 2024-13-01"), either("mine.yaml")),  # it may be a text
    "a possible date": (_with("name: 2024-12-01"), either("mine.yaml")),
    "a broken int": (_with("name: !!int abc"), refused("mine.yaml")),
    "a broken float": (_with("name: !!float abc"), refused("mine.yaml")),
    "a broken bool": (_with("name: !!bool abc"), refused("mine.yaml")),
    "a broken timestamp": (_with("name: !!timestamp abc"), refused("mine.yaml")),
    "broken binary": (_with("name: !!binary '*'"), refused("mine.yaml")),
    "a Python object": (_with("name: !!python/object:os.system x"), refused("mine.yaml")),
    "an unknown tag": (_with("name: !mine x"), refused("mine.yaml")),
    "a set": (_with("name: !!set {a, b}"), refused("mine.yaml")),
    "5,000 digits": (_with(f"name: {DIGITS}"), refused("mine.yaml")),
    "5,000 digits as a schema": (_with(f"schema: {DIGITS}"), refused("mine.yaml")),
    "5,000 hexadecimal digits": (_with(f"name: 0x{DIGITS}"), refused("mine.yaml")),
    "5,000 digits in a gene": (_with(f'genome: "{DIGITS}.1.1.1.1-91111"'), refused("mine.yaml")),
    "900 levels": (_with(f"notes: {NESTED}"), refused("mine.yaml")),
    "900 levels of mappings": (_with(f"metrics: {'{a: ' * 900}1{'}' * 900}"), refused("mine.yaml")),
    "an alias bomb as genome": (alias_bomb(8, "genome: {}"), refused("mine.yaml")),
    "an alias bomb as metrics": (alias_bomb(8, "metrics: {{a: {}}}"), refused("mine.yaml")),
    "an alias bomb as a key": (alias_bomb(8, "? {}\n: 1"), refused("mine.yaml")),
    "metrics that hold themselves": (_with("metrics: &a {b: *a}"), refused("mine.yaml")),
    "parents that hold themselves": (_with("parents: &a [*a]"), refused("mine.yaml")),
    "a key twice": (GOOD + "name: other\n", refused("mine.yaml")),
    "no mapping": ("- 1\n- 2\n", refused("mine.yaml")),
    "a text": ("hello\n", refused("mine.yaml")),
    "nothing": ("", refused("mine.yaml")),
    "two documents": (f"{GOOD}---\n{GOOD}", refused("mine.yaml")),
    "a tab": (GOOD + "notes:\n\t- x\n", refused("mine.yaml")),
    "NUL": (GOOD.encode() + b"notes: a\0b\n", refused("mine.yaml")),
    "Latin-1": (GOOD.encode() + b"notes: caf\xe9\n", refused("mine.yaml")),
    "UTF-16": (GOOD.encode("utf-16"), refused("mine.yaml")),
    "bytes of no kind": (bytes(range(256)), refused("mine.yaml")),
    "a later schema": (_with("schema: 99"), refused("mine.yaml", "schema")),
    "schema true": (_with("schema: true"), refused("mine.yaml", "schema")),
    "schema infinity": (_with("schema: .inf"), refused("mine.yaml", "schema")),
    "an unknown key": (GOOD + "mine: 1\n", refused("mine.yaml", "mine")),
    "a key that is null": (GOOD + "~: 1\n", refused("mine.yaml")),
    "a key that is a list": (GOOD + "? [1, 2]\n: 1\n", refused("mine.yaml")),
    "a genome without quotes": (_with("genome: 11111"), refused("mine.yaml", "genome")),
    "no genome": ("schema: 1\nname: mine\n", refused("mine.yaml", "genome")),
    "both forms": (GOOD + 'pattern: "11111"\n', refused("mine.yaml", "pattern")),
    "an unknown alphabet": (_with("alphabet: greek"), refused("mine.yaml", "greek")),
    "an empty genome": (_with('genome: ""'), refused("mine.yaml")),
    "an unknown class": (_with('genome: "99.1.1.1.1"'), refused("mine.yaml")),
    "a lone surrogate": (_with('notes: "\\ud800"'), either("mine.yaml")),
    "markup in the name": (_with('name: "[/x]"'), done("[/x]")),
    "markup that is known": (_with('name: "[bold]mine[/bold]"'), done("[bold]")),
    "a control character in the name": (_with('name: "a\\eb"'), either("mine.yaml")),
    "a name of two lines": (_with('name: "a\\nb"'), either("mine.yaml")),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), either("mine.yaml")),
    "Windows line ends": (GOOD.replace("\n", "\r\n"), done("mine")),
    "8,000 LIVs": (_with(f'genome: "{"-".join(["11111"] * 8000)}"'), either("mine.yaml")),
}
OPERATORS: Mapping[str, str] = {
    "no mapping": "operators: 5",
    "a number as code": "operators: {50: 12213}",
    "a code of 5,000 digits": f'operators: {{50: "{DIGITS}"}}',
    "a text as id": 'operators: {x: "12213"}',
    "an id of the alphabet": 'operators: {1: "12213"}',
    "an empty code": 'operators: {50: ""}',
}
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "an impossible date": ("experiment_name: 2024-13-01", "mine"),
    "a broken int": ("seed: !!int abc", "mine"),
    "5,000 digits": (f"seed: {DIGITS}", "mine"),
    "900 levels": (f"seed: {NESTED}", "mine"),
    "an alias bomb": (alias_bomb(8, "seed: {}"), ""),
    "a list": ("- 1", "mine"),
    "no YAML": ("seed: [1", "mine"),
    "an unknown key": ("sead: 1", "sead"),
    "a text for a number": ("seed: abc", "mine"),
    "null for a number": ("seed: null", "mine"),
    "a key twice": ("seed: 1\nseed: 2", "mine"),
    "Latin-1": ("experiment_name: caf\udce9", "mine"),
    "itself as a default": ("defaults:\n  - mine", "mine"),
    "an unknown default": ("defaults:\n  - /none/such", "none/such"),
    "no package line": ("", "experiment"),
}
MODELS: Mapping[str, str] = {
    "an impossible date": "width: 2024-13-01",
    "a broken int": "width: !!int abc",
    "5,000 digits": f"width: {DIGITS}",
    "a text": "width: wide",
    "NaN": "norm_eps: .nan",
    "minus one": "norm_eps: -1.0",
    "infinity": "rope_base: .inf",
    "nothing wide": "width: 0",
    "a huge width": f"width: {2**20}",
    "another vocabulary": "vocabulary: 100",
    "an unknown key": "mine: 1",
    "900 levels": f"width: {NESTED}",
    "true": "width: true",
    "a later schema": "schema: 99",
}


def _describe_files() -> Iterator[Case]:
    for name, (content, expected) in FILES.items():
        yield Case(
            f"genome files/{name}",
            describe("genome=mine.yaml"),
            expected,
            lambda place, content=content: place.text("mine.yaml", content),
            limit=20,
        )
    for name, line in OPERATORS.items():
        yield Case(
            f"genome files/operators {name}",
            describe("genome=mine.yaml"),
            refused("mine.yaml"),
            lambda place, line=line: place.text("mine.yaml", _with(line)),
        )


def _experiments() -> Iterator[Case]:
    for name, (content, word) in EXPERIMENTS.items():
        package = "" if name == "no package line" else "# @package _global_\n"

        def prepare(place: Scratch, text: str = package + content) -> None:
            place.text("own/experiment/mine.yaml", text.encode(errors="surrogateescape"))

        command = ("evolve", "--config-dir", "own", "+experiment=mine", "--cfg", "job")
        harmless = name == "an impossible date"  # Hydra reads it as a text
        ending = either(word) if harmless else refused(word)
        yield Case(f"genome files/experiment with {name}", command, ending, prepare, limit=20)


def _models() -> Iterator[Case]:
    for name, line in MODELS.items():

        def prepare(place: Scratch, line: str = line) -> None:
            path: Path = place.copy("training") / "model.yaml"
            key = line.partition(":")[0]
            kept = [row for row in path.read_text().splitlines() if not row.startswith(f"{key}:")]
            path.write_text("\n".join([*kept, line, ""]))

        command = ("generate", "checkpoint=training", "tokens=5")
        yield Case(f"genome files/model.yaml with {name}", command, refused("training"), prepare)


def _other_readers() -> Iterator[Case]:
    """The same file wherever a genome is taken."""
    bad = _with("name: !!int abc")
    readers = {
        "train": train("genome=own/mine.yaml", "run_dir=run"),
        "seeds": tabular("search.seeds=[own/mine.yaml]", "run_dir=run"),
        "a folder of seeds": tabular("search.seeds=[own]", "run_dir=run"),
        "baselines": tabular("search.baselines=[own/mine.yaml]", "run_dir=run"),
        "library": describe("library=[own]", "genome=mine"),
    }
    for name, command in readers.items():
        yield Case(
            f"genome files/a broken int, {name}",
            command,
            refused("mine.yaml"),
            lambda place: place.text("own/mine.yaml", bad),
        )
    tables = {
        "without the column": "a,b\n1,2\n",
        "with a broken genome": "genome,status\nabc,ok\n",
        "without rows": "genome,status\n",
        "of NULs": "\0" * 100,
        "of unequal rows": "genome,status\n1,2,3,4\n5\n",
        "with an open quote": 'genome,status\n"11111,ok\n',
        "of Latin-1": "genome,status\ncaf\udce9,ok\n",
        "without content": "",
    }
    for name, content in tables.items():
        yield Case(
            f"genome files/a CSV of seeds {name}",
            tabular("search.seeds=[mine.csv]", "run_dir=run"),
            refused("mine.csv"),
            lambda place, text=content: place.text(
                "mine.csv", text.encode(errors="surrogateescape")
            ),
        )


def _texts() -> Iterator[Case]:
    """Genomes as text on the command line."""
    text = "-".join(["11111"] * 48)
    yield Case("genome files/48 LIVs as text", describe(f"genome={text}"), done("depth 48"))
    yield Case(
        "genome files/48 LIVs as a seed",
        tabular(f"search.seeds=['{text}']", "run_dir=run"),
        done("seed"),
    )
    long = "-".join(["11111"] * 8000)
    yield Case("genome files/8,000 LIVs as text", describe(f"genome={long}"), either(), limit=20)
    yield Case(
        "genome files/a gene of 5,000 digits", describe(f"genome={DIGITS}"), refused("genome")
    )
    dotted = f"{DIGITS}.1.1.1.1"
    yield Case("genome files/a class of 5,000 digits", describe(f"genome={dotted}"), refused())
    minus = "1.1.1.1.-1"
    yield Case("genome files/a negative gene", describe(f"genome={minus}"), refused(minus))


CASES = (*_describe_files(), *_experiments(), *_models(), *_other_readers(), *_texts())
