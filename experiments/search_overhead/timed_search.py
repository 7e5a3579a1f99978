"""`python timed_search.py <result.json> <arguments of star.evolve>`: a search that notes where its
time goes.

Seconds by the wall clock. `imports`: before `main`. `wall`: of `main`. `waiting`: within it, for
workers. `starting`, `ending`: of worker processes. `plan`: checking the settings, rehearsing the
algorithm, opening the text. `processor`: processor time of this process in `main`.
`first_training`: from the beginning of `main` until the first candidate was handed to a worker,
None when none was. `tasks`: seconds of each candidate in a worker, by worker, start-up included.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTED = time.time()
PROCESS_STARTED = STARTED - time.process_time()


class Clock:
    """Seconds by name, and when each task began and ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.tasks: dict[int, list[float]] = {}
        self.first_training: float | None = None
        self.began = time.perf_counter()

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.measured(name):
                return function(*arguments, **named)

        return call

    def timed_tasks(self, schedule: Callable[..., Any]) -> Callable[..., Any]:
        def call(slot: object, *arguments: Any) -> Any:
            start = time.perf_counter()
            self.first_training = self.first_training or start - self.began
            future = schedule(slot, *arguments)
            tasks = self.tasks.setdefault(id(slot), [])
            future.add_done_callback(lambda _: tasks.append(time.perf_counter() - start))
            return future

        return call


def main() -> None:
    output, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
    import star.evolve as evolve
    from star.base.command_line import run_command
    from star.evaluation import workers

    clock = Clock()
    workers.wait = clock.timed("waiting", workers.wait)
    workers.Workers.__enter__ = clock.timed("starting", workers.Workers.__enter__)  # type: ignore[method-assign]
    workers.Workers.__exit__ = clock.timed("ending", workers.Workers.__exit__)  # type: ignore[method-assign]
    workers._Slot.schedule = clock.timed_tasks(workers._Slot.schedule)  # type: ignore[method-assign]
    evolve.make_plan = clock.timed("plan", evolve.make_plan)

    def timed_main(config: evolve.EvolveConfig) -> None:
        clock.began, processor = time.perf_counter(), time.process_time()
        clock.seconds["imports"] = time.time() - PROCESS_STARTED
        with clock.measured("wall"):
            evolve.main(config)
        clock.seconds["processor"] = time.process_time() - processor
        tasks = list(clock.tasks.values())
        output.write_text(
            json.dumps({**clock.seconds, "first_training": clock.first_training, "tasks": tasks})
        )

    run_command("evolve", timed_main)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
