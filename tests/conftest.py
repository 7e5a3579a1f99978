"""One thread for torch: the models of the tests are too small for more, and CI has two cores."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("star", deadline=None)  # a busy machine is no failure
settings.load_profile("star")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# In the background of a script Ctrl-C is ignored, also by processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches leave no page but in the tests of the report: each takes a third of a second."""
    if "report" not in request.path.parts:
        from star.runs.report.live import LiveReport

        monkeypatch.setattr(LiveReport, "write", lambda *_, **__: None)


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


LITERAL = {"generate": ("prompt", "stop")}


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """`python -m star.<verb> ...` in this process and an empty folder, which takes a tenth of the
    time of a new one."""
    from star.base.command_line import run_command
    from star.genomes import GenomeError

    def run(verb: str, *arguments: str, cwd: Path = tmp_path) -> Result:
        monkeypatch.setattr(sys, "argv", [f"star.{verb}", *arguments])
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        main, code = import_module(f"star.{verb}").main, 0
        try:
            run_command(verb, main, (GenomeError,), LITERAL.get(verb, ()))
        except SystemExit as ended:
            code = int(ended.code or 0)
        output = capsys.readouterr()
        return Result(code, output.out, output.err)

    return run
