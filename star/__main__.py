"""`star <command> ...` is `python -m star.<command> ...`; `star --help` lists the commands.

A command's module is imported when it is asked for, so that the list costs nothing.
"""

import runpy
import sys
from difflib import get_close_matches

from star import __version__
from star.base.interrupts import exit_at_once

# Each command's module and what it does.
COMMANDS = {
    "evolve": ("star.evolve", "evolve architectures and leave a Pareto front in a run folder"),
    "describe": ("star.describe", "say what a genome is and what it costs; lineage=true: ancestry"),
    "front": ("star.front", "the front of a finished search under another budget, untrained"),
    "validate": ("star.validate", "train a search's designs longer: how far to believe its front"),
    "report": ("star.report", "the page of a search, or of several beside each other, and figures"),
    "aggregate": ("star.aggregate", "make one design of the best of a search, by votes"),
    "extrapolate": ("star.extrapolate", "grow a design by stacking or stretching, untrained"),
    "linearise": ("star.linearise", "replace a checkpoint's attention by recurrences, at a budget"),
    "train": ("star.train", "train one genome and leave a checkpoint"),
    "hybridize": ("star.hybridize", "mix pretrained models block for block, by a search"),
    "generate": ("star.generate", "stream text from a checkpoint"),
    "export": ("star.export", "write a checkpoint for Hugging Face transformers"),
    "adopt": ("star.adopt", "make a checkpoint of a model of Hugging Face transformers"),
    "evaluate": ("star.evaluate", "measure a checkpoint by tasks of lm-evaluation-harness"),
    "mad": ("star.mad", "measure how well genomes learn the six tasks of MAD"),
    "certify": ("star.kernels.certify", "check the kernels on this machine, and certify them"),
    "bench": ("star.kernels.bench", "measure the kernels beside their peers"),
}
EXIT_USER_ERROR = 2


def describe_commands() -> str:
    """The list of commands, as text."""
    rows = [f"  {name:<12}{meaning}" for name, (_, meaning) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: star <command> [key=value ...] [options]",
            "",
            *rows,
            "",
            "star <command> --help explains every setting of a command; star --version.",
            "The first search: star evolve +experiment=cache_frontier",
        ]
    )


def main() -> None:
    """Run the command that the first argument names, with the others as its own."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help"):
        print(describe_commands())
    elif name == "--version":
        print(f"star-synthesis {__version__}")
    elif name in COMMANDS:
        module = COMMANDS[name][0]
        sys.argv = [f"star {name}", *rest]
        exit_at_once()  # at Ctrl-C, while the command's modules are imported
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        similar = get_close_matches(name, COMMANDS, 1)
        known = f"expected one of {', '.join(COMMANDS)}"
        hint = f"did you mean {similar[0]}?" if similar else known
        print(f"error: {name!r} is no command; {hint}", file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR)


if __name__ == "__main__":
    main()
