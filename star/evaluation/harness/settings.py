"""What is asked of the harness."""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from star.base.ranges import Range, expect_ranges
from star.base.reading import expanded, is_file, is_folder
from star.base.settings import expect

RANGES = {
    "limit": Range(1, 10**9),
    "shots": Range(0, 10**3),
    "batch_size": Range(1, 10**5),
}
PACKAGE = "lm-eval"
SUFFIXES = (".yaml", ".yml")  # of a task's file


def lm_eval_version() -> str:
    """Of the harness; `missing` where there is none."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "missing"


def is_task_file(name: str) -> bool:
    """Whether a task is named by its file."""
    return name.endswith(SUFFIXES)


@dataclass
class HarnessSetting:
    """Which tasks, and how."""

    tasks: list[str] = field(default_factory=list)  # names of tasks, groups or tags, or YAML files
    task_folder: str | None = None  # of YAML files of tasks of your own
    limit: int | None = None  # only the first so many documents of each task; null: all
    shots: int | None = None  # examples before each question; null: as the task has it
    batch_size: int = 16  # sequences at once

    def check(self, prefix: str = "") -> None:
        """Raise `UserError` for the first value that cannot be used. prefix: of its keys."""
        is_list = len(self.tasks) > 0 and len(set(self.tasks)) == len(self.tasks)
        expected = "one or more different tasks, such as [arc_easy] or [mine.yaml]"
        expect(f"{prefix}tasks", self.tasks, is_list and all(self.tasks), expected)
        expect_ranges(prefix, self, RANGES)
        key, folder = f"{prefix}task_folder", self.task_folder
        is_there = folder is None or is_folder(expanded(folder), key)
        expect(key, folder, is_there, "a folder of YAML files of tasks")
        for name in filter(is_task_file, self.tasks):
            is_there = is_file(expanded(name), f"{prefix}tasks")
            expect(f"{prefix}tasks", name, is_there, "a YAML file that is there")
