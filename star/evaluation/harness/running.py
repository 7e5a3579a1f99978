"""Running the harness on a model: a task at a time, quietly, from the same seeds every time."""

import io
import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from lm_eval import evaluate
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

from star.base.random_numbers import kept_random_state, seed_generators
from star.evaluation.harness.model import HarnessModel
from star.evaluation.harness.results import MetricRow
from star.evaluation.harness.settings import HarnessSetting
from star.evaluation.harness.tasks import LoadedTask

# Samples of the standard errors that have no formula, as those of perplexities. The harness takes
# 100,000, in as many processes as there are cores.
BOOTSTRAPS = 1000
NOISY = ("lm_eval", "datasets", "huggingface_hub", "httpx", "fsspec", "filelock")
_ERROR = "_stderr"
CPU = torch.device("cpu")


@contextmanager
def undisturbed(device: torch.device = CPU) -> Iterator[None]:
    """Around whatever the harness does: nothing is shown of the bars, notes and warnings of it and
    of what it loads data with, and all random numbers go on as if it had not seeded them."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    python, numpy = random.getstate(), np.random.get_state()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            kept_random_state(device),
        ):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _seed(model: HarnessModel) -> None:
    """As the harness's own command does."""
    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    seed_generators(DEFAULT_OTHER_SEED, model.model.device)


def _set_shots(task: Any, shots: int | None) -> None:
    """As the harness's own command does: a task that says that it takes none keeps to it."""
    own = task.get_config("num_fewshot")
    if own != 0:
        task.set_config(key="num_fewshot", value=(own or 0) if shots is None else shots)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


def run_task(
    task: LoadedTask, setting: HarnessSetting, model: HarnessModel, bootstraps: int = BOOTSTRAPS
) -> list[MetricRow]:
    """What the harness measures of a model on one entry of `tasks=[...]`: a row a metric, those of
    a group before those of its members. Within `undisturbed`.

    Args:
        task: the entry.
        setting: how it is run.
        model: on any device.
        bootstraps: samples of the standard errors without a formula; 0 gives none at all.

    Raises:
        Diverged: for a model whose logits are not finite.
        UserError: where the model's context has no room for the task.
    """
    _seed(model)
    for one in task.tasks:
        _set_shots(one, setting.shots)
    run: Any = evaluate  # whose decorator hides what it takes
    found = run(
        lm=model,
        task_dict=task.loaded,
        limit=setting.limit,
        log_samples=False,
        bootstrap_iters=bootstraps,
    )
    chances = task.chances()
    rows = []
    for name, values in {**found.get("groups", {}), **found["results"]}.items():
        count = found["n-samples"].get(name, {}).get("effective")
        rows += _rows(name, values, chances.get(name), count)
    return rows


def _rows(
    task: str, values: Mapping[str, Any], chance: float | None, count: int | None
) -> Iterator[MetricRow]:
    """Rows from the harness's `{"acc,none": 0.5, "acc_stderr,none": 0.1}`."""
    for key, value in values.items():
        metric, comma, how = key.partition(",")
        if not comma or metric.endswith(_ERROR) or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}{_ERROR},{how}")
        yield MetricRow(
            task=task,
            metric=metric if how == "none" else key,
            value=float(value),
            stderr=float(error) if isinstance(error, int | float) else None,
            chance=chance if metric.startswith("acc") else None,
            documents=count,
        )
