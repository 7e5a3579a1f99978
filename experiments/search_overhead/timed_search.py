"""`python timed_search.py <result.json> <settings of star.evolve>`: a search that notes where its
time goes.

Seconds by the wall clock:
    began: since the epoch, when everything is imported.
    wall: from then to the end.
    plan: within it, to compose and check the settings, rehearse the algorithm, open the text.
    starting, ending: worker processes.
    waiting: for their results.
    first_training: from the beginning of `wall` until a candidate was first handed to a worker;
        None when none was.
    first_result: from then until it came back, with the start-up of its worker.
    working: of all workers together, in each generation from its beginning until the worker's last
        candidate of it came back.

Others: `processor`, processor time of this process in `wall`; `candidates` and `workers`, how many.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from star.base.command_line import compose_config
from star.base.console import make_console
from star.evaluation import Evaluation
from star.evaluation.executors import Processes, ProcessesConfig, Setup, Task
from star.runs.progress import SearchProgress
from star.search import Search


class Clock:
    """What was measured, by name; it starts when it is made."""

    def __init__(self) -> None:
        self.began, self.processor = time.perf_counter(), time.process_time()
        self.noted: dict[str, float | None] = {"first_training": None}

    def add(self, name: str, value: float) -> None:
        self.noted[name] = (self.noted.get(name) or 0.0) + value

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def stop(self) -> None:
        self.add("wall", time.perf_counter() - self.began)
        self.add("processor", time.process_time() - self.processor)


class TimedProcesses(Processes):
    """Worker processes that note how long they start, work, are waited for, and end."""

    def __init__(self, config: ProcessesConfig, setup: Setup, clock: Clock) -> None:
        settings = config.plan(setup.recipe.training.device)
        super().__init__(settings, setup)
        self.clock, self.workers = clock, len(settings)
        clock.add("workers", self.workers)

    def __enter__(self) -> "TimedProcesses":
        with self.clock.measured("starting"):
            super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        with self.clock.measured("ending"):
            super().__exit__(*error)

    def evaluate(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Evaluation]]:
        """As `Processes`."""
        clock, began = self.clock, time.perf_counter()
        finished: list[float] = []  # seconds since it began
        results = super().evaluate(tasks)
        while True:
            with clock.measured("waiting"):
                result = next(results, None)
            if result is None:
                break
            finished.append(time.perf_counter() - began)
            if clock.noted["first_training"] is None:
                clock.noted["first_training"] = began - clock.began
                clock.add("first_result", finished[0])
            yield result
        clock.add("candidates", len(finished))
        # A worker takes the next task as soon as it is free, so it works from the beginning until
        # no task is left for it: with 2 workers and results after 3, 4, 7 and 9 s, one works until
        # second 7 and the other until second 9.
        clock.add("working", sum(finished[-self.workers :]))


class TimedConfig(ProcessesConfig):
    """The settings of worker processes, which make `TimedProcesses` of them."""

    def __init__(self, config: ProcessesConfig, clock: Clock) -> None:
        super().__init__(**vars(config))
        self.clock = clock

    def make(self, setup: Setup) -> TimedProcesses:
        """The processes, not started yet."""
        return TimedProcesses(self, setup, self.clock)


def main(output: Path, overrides: Sequence[str]) -> None:
    """Search as `star.evolve` does, and write what was measured."""
    clock = Clock()
    clock.add("began", time.time())
    with clock.measured("plan"):
        config = compose_config("evolve", overrides)
        config.executor = TimedConfig(config.executor, clock)
        search = Search.from_config(config)
    with SearchProgress(make_console()) as progress:
        search.run(progress)
    clock.stop()
    output.write_text(json.dumps(clock.noted))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
