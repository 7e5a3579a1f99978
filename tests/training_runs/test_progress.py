"""A stage that is interrupted at its last step."""

import os
import signal
from collections.abc import Iterator

import pytest

from star.base.console import make_console
from star.training_runs import Stage, show_steps


@pytest.mark.parametrize("is_last", [False, True])
def test_an_interrupt_at_the_last_step_counts_unless_nothing_follows(
    is_last: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    done, saved = [0], list[int]()

    def losses() -> Iterator[float]:
        while done[0] < 2:
            done[0] += 1
            if done[0] == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield 1.0

    stage = Stage("stage", 2, lambda: done[0], lambda: saved.append(done[0]), is_last)
    if is_last:
        show_steps(stage, losses(), make_console())
        assert saved == []
        return
    with pytest.raises(SystemExit) as ended:
        show_steps(stage, losses(), make_console())
    assert ended.value.code == 130 and saved == [2]
    assert "stage: interrupted after step 2" in capsys.readouterr().out
