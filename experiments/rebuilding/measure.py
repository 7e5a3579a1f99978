"""The shape of a checkout in numbers, from its sources alone.

    python experiments/rebuilding/measure.py <checkout> [<checkout> ...]

Prints a Markdown table with a column for each checkout. Nothing of a checkout is imported.
"""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sources import OTHERS, PRODUCT, Function, Module, imported, read_modules

LONGEST = 100  # columns of a line
Graph = Mapping[str, set[str]]


def components(graph: Graph) -> list[list[str]]:
    """Import cycles: strongly connected components of more than one module (Tarjan 1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in number:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == number[node]:
            members = stack[stack.index(node) :]
            del stack[-len(members) :]
            if len(members) > 1:
                found.append(sorted(members))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def describe_cycles(graph: Graph) -> str:
    """How many there are, how large each is, and a module of each."""
    cycles = components(graph)
    named = ", ".join(f"{len(cycle)} modules with {cycle[0]}" for cycle in cycles)
    return f"{len(cycles)} ({named})" if cycles else "0"


def directly_in(modules: Mapping[str, Module], folder: Path) -> int:
    """Modules that lie in a folder, not in its rooms; `__init__.py` left out."""
    return sum(m.path.parent == folder and not m.is_package for m in modules.values())


def long_lines(modules: Mapping[str, Module]) -> str:
    """Lines over `LONGEST` columns, and their share."""
    lines = [line for module in modules.values() for line in module.text.splitlines()]
    count = sum(len(line) > LONGEST for line in lines)
    return f"{count:,} ({100 * count / len(lines):.1f}%)"


def starters(modules: Mapping[str, Module]) -> tuple[int, int, int]:
    """Tests that start a Python process, their cases, and all tests.

    A function does when it names `sys.executable`, or a function of its module, of a `conftest.py`
    or of an imported test module that does. Fixtures are named by parameters.
    """
    functions = {
        (name, node.name): node
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
    }
    shared = [name for name in modules if name.endswith("conftest")]
    reach = {
        name: {name, *shared, *imported(module, dict(modules), inside=True)}
        for name, module in modules.items()
    }
    start = {key for key, node in functions.items() if "sys.executable" in ast.unparse(node)}
    while True:
        more = {
            key
            for key, node in functions.items()
            if any((module, name) in start for module in reach[key[0]] for name in names_in(node))
        }
        if more <= start:
            break
        start |= more
    tests = [key for key in functions if key[1].startswith("test_")]
    starting = start.intersection(tests)
    return len(starting), sum(cases(functions[key]) for key in starting), len(tests)


def cases(test: Function) -> int:
    """How often a test runs, by its parameters where they are written out at its head."""
    count = 1
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("parametrize"):
            values = mark.args[1]
            count *= len(values.elts) if isinstance(values, ast.List | ast.Tuple) else 1
    return count


def names_in(node: Function) -> set[str]:
    """Names that a function uses, and its parameters."""
    used = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return used | {argument.arg for argument in node.args.args + node.args.kwonlyargs}


def commit(checkout: Path) -> str:
    """The commit of a checkout, with a plus where it holds more than that."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(checkout: Path) -> dict[str, str]:
    """Every row of the table."""
    product, others = read_modules(checkout, PRODUCT), read_modules(checkout, OTHERS)
    at_import = {name: imported(module, product, False) for name, module in product.items()}
    at_all = {name: imported(module, product, True) for name, module in product.items()}
    widest = max(at_all, key=lambda name: len(at_all[name]))
    lines = sum(len(module.text.splitlines()) for module in product.values())
    alone, behind = map(sum, zip(*(m.comments() for m in product.values()), strict=True))
    starting, their_cases, tests = starters(
        {n: m for n, m in others.items() if n.startswith("tests")}
    )
    return {
        "commit": commit(checkout),
        "modules directly in `star/`": str(directly_in(product, checkout / "star")),
        "modules directly in `star/search/`": str(directly_in(product, checkout / "star/search")),
        "modules of the product": str(len(product)),
        "import cycles, at the top of modules": describe_cycles(at_import),
        "import cycles, with imports in functions": describe_cycles(at_all),
        "largest fan-out": f"{len(at_all[widest])} ({widest})",
        f"lines over {LONGEST} columns, product": long_lines(product),
        f"lines over {LONGEST} columns, tests and studies": long_lines(others),
        "lines that are a comment": f"{100 * alone / lines:.1f}%",
        "lines with a comment behind code": f"{100 * behind / lines:.1f}%",
        "lines of product code": f"{sum(len(m.code_lines()) for m in product.values()):,}",
        "the same in tokens": f"{sum(m.code_tokens() for m in product.values()):,}",
        "all lines of the product": f"{lines:,}",
        "tests that start a Python process": f"{starting} of {tests}, {their_cases} cases",
    }


def main(checkouts: list[str]) -> None:
    """Print the table."""
    columns = [measure(Path(checkout).resolve()) for checkout in checkouts]
    print("| |" + "".join(f" {Path(checkout).name} |" for checkout in checkouts))
    print("|---|" + "---|" * len(columns))
    for row in columns[0]:
        print(f"| {row} |" + "".join(f" {column[row]} |" for column in columns))


if __name__ == "__main__":
    main(sys.argv[1:])
