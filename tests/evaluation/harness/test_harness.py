"""The harness on our models: the numbers of its own `HFLM` on the exported model."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from star.base.errors import UserError
from star.data.subwords import SubwordTokenizer, train_bpe
from star.evaluation import Measured
from star.evaluation.harness import HarnessSetting
from star.evaluation.harness.results import Identity, Measurement, ResultsFile
from star.evaluation.harness.vocabulary import vocabulary_of
from star.evaluation.objectives import load_objective
from star.genomes import Genome, GenomeFile, ModelConfig
from star.models import LanguageModel, load_checkpoint, save_checkpoint
from star.testing.objectives import GENOMES, context
from star.training import Diverged
from tests.evaluation.harness.toy import (
    CHOICE,
    DOCUMENTS,
    GENERATE,
    GROUP,
    ROLLING,
    documents,
    shared_tasks,
)

pytest.importorskip("lm_eval")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from star.evaluation.harness.model import HarnessModel
from star.evaluation.harness.running import run_task, undisturbed
from star.evaluation.harness.tasks import Tasks

Command = Callable[..., Any]
CONTEXT = 300  # positions: most prompts with examples are longer


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def made_model() -> LanguageModel:
    torch.manual_seed(0)
    genome = Genome.from_text("71111-91111-31112-91111-51111-91111")
    model = LanguageModel(genome, ModelConfig(width=32))
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose weights are none of a beginning."""
    folder = tmp_path_factory.mktemp("harness") / "run"
    folder.mkdir()
    genome = Genome.from_text("71111-91111-31112-91111-51111-91111")
    file = GenomeFile("mine", genome, settings={"cache": {"context": CONTEXT}})
    save_checkpoint(folder, made_model(), file, ModelConfig(width=32))
    return folder


@pytest.fixture(scope="module")
def harness_lm(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The harness's own model of the exported folder."""
    pytest.importorskip("accelerate")
    from lm_eval.models.huggingface import HFLM

    from star.export import ExportConfig, export

    to = tmp_path_factory.mktemp("exported") / "model"
    export(ExportConfig(str(checkpoint), str(to)), load_checkpoint(checkpoint), to)
    model: Any = HFLM
    yield model(pretrained=str(to), device="cpu", batch_size=1)


def ours(batch_size: int = 5, length: int = CONTEXT) -> HarnessModel:
    return HarnessModel(made_model(), vocabulary_of(256), length, batch_size)


def measured(lm: Any, task: str, **options: Any) -> dict[str, Any]:
    manager = TaskManager(include_path=str(shared_tasks()), include_defaults=False)
    run: Any = simple_evaluate
    with undisturbed():
        return run(
            model=lm, tasks=[task], task_manager=manager, log_samples=True, bootstrap_iters=100,
            **options,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize(
    ("task", "shots"), [(CHOICE, None), (CHOICE, 4), (ROLLING, None), (GENERATE, None)]
)
def test_each_answer_is_that_of_the_export(
    task: str, shots: int | None, batch_size: int, harness_lm: Any
) -> None:
    lm = ours(batch_size)
    here = measured(lm, task, num_fewshot=shots)
    there = measured(harness_lm, task, num_fewshot=shots)
    assert (lm.cut > 0) == (shots is not None)
    assert len(here["samples"][task]) == DOCUMENTS
    for own, other in zip(here["samples"][task], there["samples"][task], strict=True):
        assert own["arguments"] == other["arguments"]
        for a, b in zip(flat(own["resps"]), flat(other["resps"]), strict=True):
            assert a == (b if isinstance(b, str) else pytest.approx(b, rel=1e-5, abs=1e-4))
    numbers = {name: v for name, v in there["results"][task].items() if isinstance(v, int | float)}
    assert len(numbers) > 1
    for name, value in numbers.items():
        assert here["results"][task][name] == pytest.approx(value, rel=1e-5), name


def flat(nested: Any) -> list[Any]:
    if isinstance(nested, list | tuple):
        return [leaf for one in nested for leaf in flat(one)]
    return [nested]


@pytest.mark.slow
def test_the_command_gives_the_numbers_of_the_export(
    checkpoint: Path, harness_lm: Any, command: Command, tmp_path: Path
) -> None:
    """And chance; a second time it measures nothing, and keeps what is there."""
    names = (CHOICE, ROLLING, GENERATE)
    arguments = (
        f"checkpoint={checkpoint}", f"tasks=[{','.join(names)}]", f"task_folder={shared_tasks()}",
        "device=cpu", "to=deep/found.json",
    )  # fmt: skip
    result = command("evaluate", *arguments)
    assert result.returncode == 0, result.stderr
    kept = read(tmp_path / "deep" / "found.json")
    assert [one["task"] for one in kept] == list(names)
    for one in kept:
        expected = measured(harness_lm, one["task"])["results"][one["task"]]
        assert one["results"]
        for row in one["results"]:
            assert row["value"] == pytest.approx(expected[f"{row['metric']},none"], rel=1e-5)
            assert row["documents"] == DOCUMENTS
            if row["metric"] in ("acc", "acc_norm"):
                error = expected[f"{row['metric']}_stderr,none"]
                assert row["stderr"] == pytest.approx(error, rel=1e-5)
    chance = np.mean([1 / len(one["choices"]) for one in documents()])
    assert [row["chance"] for row in kept[0]["results"]] == pytest.approx([chance] * 2)
    assert f"{chance:.4f}" in result.stdout
    assert {one["tokenizer"] for one in kept} == {"bytes"}
    again = command("evaluate", *arguments)
    assert "3 of 3 were measured before" in again.stdout
    assert read(tmp_path / "deep" / "found.json") == kept
    command("evaluate", *arguments, "limit=3", f"tasks=[{CHOICE}]")
    more = read(tmp_path / "deep" / "found.json")
    assert more[:3] == kept and (more[3]["limit"], more[3]["results"][0]["documents"]) == (3, 3)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["found.json"]


def read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["measurements"]


def test_a_group_has_the_numbers_of_its_members() -> None:
    setting = HarnessSetting([GROUP, CHOICE], str(shared_tasks()), limit=4)
    with undisturbed():
        tasks = Tasks(setting)
        group, alone = (run_task(tasks.load(name), setting, ours()) for name in setting.tasks)
    assert [row for row in group if row.task == CHOICE] == alone
    assert {row.task for row in group} >= {CHOICE, GENERATE}


def test_a_task_is_known_again_until_its_documents_change(tmp_path: Path) -> None:
    from tests.evaluation.harness.toy import write_tasks

    write_tasks(tmp_path)
    setting = HarnessSetting([CHOICE], str(tmp_path), limit=4)

    def digest(**changed: Any) -> str:
        with undisturbed():
            return Tasks(replace(setting, **changed)).load(CHOICE).digest()

    first = digest()
    assert digest(shots=3) == first  # which the file of results keeps by itself
    assert digest(limit=5) != first
    path = tmp_path / "documents.jsonl"
    path.write_text(path.read_text().replace("return", "turn"))
    assert digest() != first


def test_another_tokenizer_is_another_entry(tmp_path: Path) -> None:
    """What was kept without one was measured of bytes, unless it is measured again."""
    texts = [b"def main():", b"class Any(Mapping):", b"for all in the list"]
    first, second = train_bpe(texts, 262), train_bpe(texts[:2], 260)
    path = tmp_path / "kept"
    path.mkdir()
    first.save(path)
    digests = [one.digest for one in (vocabulary_of(256), vocabulary_of(300, path))]
    assert digests == ["bytes", first.digest] and first.digest != second.digest
    other_end = SubwordTokenizer(first.content, "a", "here")
    assert other_end.digest != first.digest

    known = Identity(CHOICE, "1", None, 4, 64, "2", "0.4", first.digest)
    file = ResultsFile(tmp_path / "found.json")
    file.add(Measurement(known, [], 0, "cpu", 1.0))
    assert read(file.path)[0]["tokenizer"] == first.digest
    assert ResultsFile(file.path).find(known) and not file.find(replace(known, tokenizer="bytes"))
    old = json.loads(file.path.read_text())
    del old["measurements"][0]["tokenizer"]
    file.path.write_text(json.dumps(old))
    assert ResultsFile(file.path).find(replace(known, tokenizer="bytes"))
    assert ResultsFile(file.path).find(known) is None


def test_random_numbers_go_on_as_they_were() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)

    seed()
    expected = draw()
    setting = HarnessSetting([CHOICE], str(shared_tasks()), limit=2)
    lm = ours()
    seed()
    with undisturbed():
        run_task(Tasks(setting).load(CHOICE), setting, lm)
    assert draw() == expected


def instances(kind: Any, *arguments: Any) -> list[Instance]:
    return [Instance(kind, {}, (argument), 0) for argument in arguments]


def test_a_sample_is_drawn_anew_for_each_repeat() -> None:
    options = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 24, "until": []}
    prompts = instances("generate_until", *[("def main(", options)] * 3)
    first = ours(batch_size=2).generate_until(prompts)
    assert len(set(first)) == 3 and ours(batch_size=2).generate_until(prompts) == first
    del options["temperature"]
    assert ours(batch_size=2).generate_until(prompts) == first


def test_no_prompt_at_all_begins_a_document() -> None:
    (text,) = ours().generate_until(instances("generate_until", ("", {"max_gen_toks": 5})))
    assert text
    ((value, _),) = ours().loglikelihood(instances("loglikelihood", ("", "class")))
    model = made_model()
    tokens = list(b"\0class")
    with torch.no_grad():
        found = torch.log_softmax(model(torch.tensor([tokens[:-1]]))[0], dim=-1)
    expected = found[range(5), tokens[1:]].sum()
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_logits_that_are_not_finite() -> None:
    lm = ours()
    with torch.no_grad():
        lm.model.embedding.weight.fill_(float("nan"))
    with pytest.raises(Diverged):
        lm.loglikelihood(instances("loglikelihood", ("a", "b")))
    with pytest.raises(Diverged):
        lm.generate_until(instances("generate_until", ("a", {"max_gen_toks": 5})))


def test_a_context_without_room() -> None:
    with pytest.raises(UserError, match="context=4: an answer of the task has 5 tokens"):
        ours(length=4).loglikelihood(instances("loglikelihood", ("a", "class")))
    with pytest.raises(UserError, match="context=4: the task generates up to 5 tokens"):
        ours(length=4).generate_until(instances("generate_until", ("a", {"max_gen_toks": 5})))


def test_a_model_without_bytes() -> None:
    with pytest.raises(UserError, match="model.vocabulary=48: no text can be read with it"):
        vocabulary_of(48)


GIVEN = {"tasks": [CHOICE, GENERATE], "task_folder": str(shared_tasks()), "limit": 6}


def test_the_objective_is_the_mean_over_its_tasks() -> None:
    settings = {**GIVEN, "tasks": [CHOICE, f"{shared_tasks()}/{CHOICE}.yaml"], "metric": "acc_norm"}
    objective = load_objective("harness_accuracy", settings)
    objective.prepare()
    given = context(GENOMES[0])
    found = objective.measure(given)
    assert given.model is not None
    lm = HarnessModel(given.model, vocabulary_of(256), 64, 4)
    expected = measured(lm, CHOICE, limit=6)["results"][CHOICE]["acc_norm,none"]
    assert found["harness_accuracy"] == found[f"harness_accuracy_{CHOICE}"] == expected
    assert 0 < expected < 1 and objective.maximised


def test_the_recipe_knows_the_tasks(tmp_path: Path) -> None:
    from tests.evaluation.harness.toy import write_tasks

    settings = {"harness_accuracy": {**GIVEN, "task_folder": str(write_tasks(tmp_path))}}

    def content() -> Any:
        return Measured.of(["harness_accuracy"], settings).content()["harness_accuracy"]

    first = content()
    assert content() == first and first["source"].startswith("lm-eval ")
    path = tmp_path / "documents.jsonl"
    path.write_text(path.read_text().replace("return", "turn"))
    assert content() != first
    objective = load_objective("harness_accuracy", {**GIVEN, "source": first["source"] + "0"})
    with pytest.raises(UserError, match="harness_accuracy.source=.*: expected lm-eval"):
        objective.prepare()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "objectives.harness_accuracy.tasks=.*: expected one or more different tasks"),
        ({"tasks": ["x.yaml"]}, "objectives.harness_accuracy.tasks=x.yaml: expected a YAML file"),
        ({**GIVEN, "task_folder": "/nope"}, "harness_accuracy.task_folder=/nope: expected a fol"),
    ],
)
def test_an_objective_that_cannot_be_measured(settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_objective("harness_accuracy", settings).prepare()


def test_a_metric_that_a_task_does_not_have() -> None:
    objective = load_objective("harness_accuracy", {**GIVEN, "metric": "acc"})
    with pytest.raises(UserError, match="metric=acc: the task toy_generate has no such metric"):
        objective.measure(context(GENOMES[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=nowhere"], "checkpoint=nowhere: no such folder"),
        (["tasks=[]"], "tasks=[]: expected one or more different tasks"),
        (["limit=0"], "limit=0: expected at least 1"),
        (["context=0"], "context=0: expected at least 1 position"),
        (["device=tpu"], "device=tpu: expected one of"),
        (["task_folder=there/none"], "tasks=toy_choice: no task of that name"),
        (["tasks=[mine.yaml]"], "tasks=mine.yaml: expected a YAML file that is there"),
        (["tasks=[there/bad.yaml]"], "tasks=there/bad.yaml: cannot be loaded ("),
        (["tasks=[there/unsafe.yaml]"], "runs code that the model writes, which is not done here"),
        (["tasks=[there/far.yaml]"], "tasks=there/far.yaml: cannot be loaded (ConnectionError"),
        (["to=there"], "there: is a folder, expected a file of star.evaluate"),
        (["to=there/mine.json"], "mine.json: not readable as results of star.evaluate"),
    ],
)
@pytest.mark.slow
def test_mistakes(
    checkpoint: Path, command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    there = tmp_path / "there"
    (there / "none").mkdir(parents=True)
    choice = (shared_tasks() / f"{CHOICE}.yaml").read_text()
    (there / "bad.yaml").write_text("task: bad\n")
    (there / "unsafe.yaml").write_text(choice.replace('"task"', '"unsafe_code": true, "task"', 1))
    (there / "far.yaml").write_text(choice.replace('"json"', '"someone/far_away"'))
    (there / "mine.json").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    given = {"checkpoint": str(checkpoint), "tasks": f"[{CHOICE}]", "to": "new.json"}
    given |= {"task_folder": str(shared_tasks())}
    given |= dict(argument.split("=", 1) for argument in arguments)
    result = command("evaluate", *(f"{key}={value}" for key, value in given.items()))
    assert result.returncode == 2 and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (there / "mine.json").read_text() == "mine"


@pytest.mark.slow
def test_a_process_that_is_killed(checkpoint: Path, command: Command, tmp_path: Path) -> None:
    """Its own task ends it, as the system does where memory is short."""
    (tmp_path / "ends.py").write_text(
        "import os, signal\n\n\ndef text(doc):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    choice = (shared_tasks() / f"{CHOICE}.yaml").read_text()
    task = choice.replace('"{{question}}"', "!function ends.text").replace("{", "{ ", 1)
    (tmp_path / "ends.yaml").write_text(task)
    tasks = f"tasks=[{shared_tasks()}/{GENERATE}.yaml,ends.yaml]"
    result = command("evaluate", f"checkpoint={checkpoint}", tasks, "to=found.json", "limit=2")
    assert result.returncode == 1, result.stderr
    assert "the process of the harness ended with code -9" in result.stderr
    assert [len(one["results"]) for one in read(tmp_path / "found.json")] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.7])
def test_ctrl_c_while_its_process_starts(checkpoint: Path, tmp_path: Path, wait: float) -> None:
    """The terminal sends it to both."""
    arguments = [f"checkpoint={checkpoint}", f"tasks=[{shared_tasks()}/{CHOICE}.yaml]", "to=new"]
    process = subprocess.Popen(
        [sys.executable, "-m", "star.evaluate", *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        pytest.skip("the system does not tell a process's children")
    while process.poll() is None and len(children.read_text().split()) < 2:  # one keeps semaphores
        time.sleep(0.02)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == ""
    assert output == "interrupted; the same command goes on from what is in new\n"
    assert list(tmp_path.iterdir()) == []


def test_without_the_harness(
    checkpoint: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("star.base.imports.find_spec", lambda name: None)
    result = command("evaluate", f"checkpoint={checkpoint}", "tasks=[arc_easy]")
    assert result.returncode == 2
    assert result.stderr == (
        "error: star.evaluate: lm-eval is not installed; pip install lm-eval\n"
    )


def test_the_function_of_the_face_is_the_module_too() -> None:
    star: Any = importlib.import_module("star")
    module = importlib.import_module("star.evaluate")
    assert star.evaluate is module
    found: Any = star.evaluate("lfm2", overrides=["scale=cpu", "width=32", "training.steps=1"])
    assert found.status == "ok"
