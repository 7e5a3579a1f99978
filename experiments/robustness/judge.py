"""Whether a command did what was expected of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cases.case import LONGEST_LINE, Expected

OK, SKIPPED = "ok", "skipped"
TRACEBACK, HANG, WRONG_EXIT = "traceback", "hang", "wrong exit"
WRONG_LINE, DAMAGE = "wrong line", "damage"
FAULTS = (TRACEBACK, HANG, WRONG_EXIT, WRONG_LINE, DAMAGE)
_CRASHES = ("Traceback (most recent call last)", "Exception ignored in", "Fatal Python error")
_NOTICES = ("note:", "warning:")  # may come before an error

Verdict = tuple[str, str]  # one of the above, and what was seen


def read(path: Path) -> str:
    """Printed text, whatever its encoding."""
    return path.read_bytes().decode(errors="backslashreplace") if path.exists() else ""


def judge(expected: Expected, code: int | None, out: str, err: str) -> Verdict:
    """The verdict over exit code and output. code: None for a command that was still running."""
    lines = [line for line in err.splitlines() if line.strip()]
    last = shorten(lines[-1] if lines else "")
    if code is None:
        return HANG, f"still running; {last}"
    killed = code < 0 and code not in expected.codes
    if killed or any(crash in err or crash in out for crash in _CRASHES):
        return TRACEBACK, f"exit {code}: {last}"
    if code not in expected.codes:
        return WRONG_EXIT, f"exit {code}, expected {_or(expected.codes)}: {last}"
    return _judge_words(expected, code, out, err, lines)


def _judge_words(
    expected: Expected, code: int, out: str, err: str, lines: Sequence[str]
) -> Verdict:
    if code in (1, 2):
        errors = [line for line in lines if line.startswith("error:")]
        others = [line for line in lines if not line.startswith(("error:", *_NOTICES))]
        last = shorten(lines[-1] if lines else "")
        if len(errors) != 1 or lines[-1:] != errors or (code == 2 and others):
            return WRONG_LINE, f"{len(lines)} lines, {len(errors)} with error: {last}"
        if len(errors[0]) > LONGEST_LINE:
            return WRONG_LINE, f"a line of {len(errors[0]):,} characters: {last}"
        printed = errors[0]
    else:
        printed, last = f"{out}\n{err}", shorten(lines[-1] if lines else "")
        if 0 in expected.codes and 2 in expected.codes:
            return OK, last  # the words are those of the refusal
    missing = [word for word in expected.words if word not in printed]
    if missing:
        return WRONG_LINE, f"without {_or(map(repr, missing))}: {last}"
    unwanted = [word for word in expected.silent if word in printed]
    if unwanted:
        return WRONG_LINE, f"with {_or(map(repr, unwanted))}: {last}"
    return OK, last


def shorten(text: str, characters: int = 200) -> str:
    """The text on one line, its middle left out where it is long."""
    line = " ".join(text.split())
    half = characters // 2
    return line if len(line) <= characters else f"{line[:half]} ... {line[-half:]}"


def _or(values: Iterable[object]) -> str:
    return " or ".join(str(value) for value in values)
