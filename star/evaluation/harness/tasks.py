"""Tasks of the harness: found by name or by file, loaded with their data, and told apart."""

import hashlib
import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lm_eval.tasks import TaskManager

from star.base.errors import UserError, plain, shown
from star.base.reading import expanded
from star.evaluation.harness.settings import HarnessSetting, is_task_file

CHOICE = "multiple_choice"  # kind of a task


@dataclass(frozen=True)
class LoadedTask:
    """What one entry of `tasks=[...]` names, with its data."""

    name: str  # as it was typed
    loaded: Any  # its tasks, and the groups that they are in, as the harness has them
    limit: int | None

    @property
    def tasks(self) -> list[Any]:
        """All tasks that it stands for."""
        return list(self.loaded["tasks"].values())

    def digest(self) -> str:
        """Of the tasks' settings and documents: it changes with either."""
        parts = [[_settings(task), _documents(task, self.limit)] for task in self.tasks]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def chances(self) -> dict[str, float]:
        """By the name of a task of choices the accuracy of guessing."""
        return {
            task.config.task: guessing_accuracy(task, self.limit)
            for task in self.tasks
            if task.OUTPUT_TYPE == CHOICE
        }


def _settings(task: Any) -> dict[str, Any]:
    """All but what a run of it sets, and where its file lies."""
    settings = {key: value for key, value in task.dump_config().items() if key != "num_fewshot"}
    metadata = {**(settings.get("metadata") or {})}
    metadata.pop("config_source", None)
    return {**settings, "metadata": metadata}


def _documents(task: Any, limit: int | None) -> list[Any]:
    return [document for _, document in task.doc_iterator(limit=limit)]


def guessing_accuracy(task: Any, limit: int | None) -> float:
    """Mean over documents of one over the number of choices."""
    shares = [1 / len(task.doc_to_choice(document)) for document in _documents(task, limit)]
    return sum(shares) / len(shares)


class Tasks:
    """The tasks that a setting names, loaded one at a time."""

    def __init__(self, setting: HarnessSetting, prefix: str = "") -> None:
        """Find them. prefix: of the keys, for errors. Raises `UserError` for one that is unknown.

        The harness's own thousands are looked through only for a name that is none of the folder.
        """
        self._setting, self._prefix = setting, prefix
        folder = setting.task_folder
        include = None if folder is None else str(expanded(folder))
        self.manager = TaskManager(include_path=include, include_defaults=False)
        if self._unknown():
            self.manager = TaskManager(include_path=include)
        for name in self._unknown():
            similar = get_close_matches(name, self.manager.all_tasks, 1)
            hint = f"did you mean {similar[0]}?" if similar else "lm-eval ls tasks lists them"
            raise UserError(f"{prefix}tasks={shown(name)}: no task of that name; {hint}")

    def _unknown(self) -> list[str]:
        known = set(self.manager.all_tasks)
        return [
            name for name in self._setting.tasks if not is_task_file(name) and name not in known
        ]

    def load(self, name: str) -> LoadedTask:
        """One entry of the setting, with its data.

        Raises `UserError` where they cannot be had, and for tasks that this model cannot do.
        """
        where = f"{self._prefix}tasks={shown(name)}"
        try:
            loaded = self.manager.load([str(expanded(name)) if is_task_file(name) else name])
            found = LoadedTask(name, loaded, self._setting.limit)
            for task in found.tasks:
                _check_possible(where, task)
            found.chances()  # reads every document
        except UserError:
            raise
        except Exception as error:  # whatever a task's file, its code or the hub raises
            reason = plain(f"{type(error).__name__}: {error}")
            hint = "tasks of your own in task_folder need no hub"
            raise UserError(f"{where}: cannot be loaded ({shown(reason)}); {hint}") from error
        return found


def _check_possible(where: str, task: Any) -> None:
    """Raise `UserError` for a task that runs what models write, or that shows pictures."""
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(f"{where}: runs code that the model writes, which is not done here")
    if getattr(task, "MULTIMODAL", False):
        raise UserError(f"{where}: shows pictures, which a language model cannot read")
