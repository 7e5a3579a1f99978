"""The Python sources of a checkout, read without running them."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Folders of the product, and what they are imported as.
PRODUCT = {
    "star": "star",
    "genomes": "star.genomes",
    "kernels": "star.kernels",
    "conf": "star.conf",
}
OTHERS = {"tests": "tests", "experiments": "experiments"}
LAYOUT = {
    *(tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER, tokenize.COMMENT),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file. name: what it is imported as; a package has the name of its folder."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def package(self) -> str:
        """The package that relative imports begin at."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    def code_lines(self) -> set[int]:
        """Numbers of the lines with code: neither blank, nor a comment, nor of a docstring."""
        lines: set[int] = set()
        for token in self.tokens:
            if token.type not in LAYOUT:
                lines.update(range(token.start[0], token.end[0] + 1))
        return lines - self.docstring_lines()

    def code_tokens(self) -> int:
        """Tokens of these lines: as many however the lines are wrapped, but for commas."""
        lines = self.code_lines()
        return sum(t.start[0] in lines and t.type not in LAYOUT for t in self.tokens)

    def docstring_lines(self) -> set[int]:
        """Numbers of the lines of docstrings."""
        lines: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Module | ast.ClassDef | Function) and ast.get_docstring(node):
                lines.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        return lines

    def comments(self) -> tuple[int, int]:
        """How many lines are a comment, and how many have one behind code."""
        starts = [token for token in self.tokens if token.type == tokenize.COMMENT]
        alone = sum(
            token.line[: token.start[1]].isspace() or not token.start[1] for token in starts
        )
        return alone, len(starts) - alone


def read_modules(checkout: Path, folders: dict[str, str]) -> dict[str, Module]:
    """All modules of these folders of a checkout, by name."""
    modules: dict[str, Module] = {}
    for folder, package in folders.items():
        for path in sorted((checkout / folder).rglob("*.py")):
            parts = path.relative_to(checkout / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            name = ".".join((package, *parts))
            modules[name] = Module(name, path)
    return modules


def statements(body: list[ast.stmt], inside: bool) -> Iterator[ast.stmt]:
    """Statements in order, those of blocks too, but not of `if TYPE_CHECKING`.

    inside: those of functions as well, which run later than the import of their module.
    """
    for node in body:
        yield node
        if isinstance(node, Function) and not inside:
            continue
        is_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            if not (is_checking and name == "body"):
                yield from statements(getattr(node, name, []), inside)


def imported(module: Module, modules: dict[str, Module], inside: bool) -> set[str]:
    """Names of the modules of the project that a module imports, itself left out.

    `from star.search import config` imports `star.search.config`; `from star.search import Search`,
    which is no module, `star.search`.
    """
    found: set[str] = set()
    for node in statements(module.tree.body, inside):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.package.split(".")
            kept = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join((*kept, *filter(None, [node.module])))
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in modules else base)
    return found & modules.keys() - {module.name}
