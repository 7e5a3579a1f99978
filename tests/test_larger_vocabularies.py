"""Training, generation, export and search on the tokens of a BPE, as a user runs them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from transformers import AutoTokenizer

from star import train
from star.base.command_line import compose_config
from star.data.subwords import read_tokenizer
from star.genomes import read_genome_file
from star.models import load_checkpoint
from star.runs.run import Run

Command = Callable[..., Any]  # the fixture: a command in this process

SIZE = 300
TEXT = "def main(name):\n    return 'naïve 😀' + name  # the quick brown fox {}\n"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "texts.jsonl"
    rows = (json.dumps({"text": TEXT.format(n) * (1 + n % 9)}) for n in range(200))
    path.write_text("\n".join(rows))
    return path


def small(text: Path, vocabulary: int = SIZE) -> list[str]:
    return [
        "genome=lfm2", "depth=4", "width=32", "training.length=32",
        "training.validation_batches=1", "tensorboard=never", "data=files", f"data.path={text}",
        "data.tokenizer=bpe", f"data.vocabulary={SIZE}", f"model.vocabulary={vocabulary}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "run"
    arguments = [*small(text), "steps=6", f"run_dir={folder}"]
    train.main(compose_config("train", arguments), arguments)
    return folder


def test_a_checkpoint_has_its_tokenizer_and_is_gone_on_with(
    checkpoint: Path, text: Path, command: Command, tmp_path: Path
) -> None:
    kept = read_tokenizer(str(checkpoint))
    assert 256 < kept.vocabulary <= SIZE
    assert load_checkpoint(checkpoint).config.vocabulary == SIZE
    evaluation = json.loads((checkpoint / "evaluation.json").read_text())
    bits = evaluation["validation_loss"] / 0.6931471805599453
    assert evaluation["bits_per_byte"] < bits / 1.5  # a token has several bytes
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    again = command("train", *small(text), "steps=6", f"run_dir={folder}")
    assert again.returncode == 0 and "going on after step 6" in again.stdout
    other = small(text)
    other[other.index(f"data.vocabulary={SIZE}")] = "data.vocabulary=280"
    refused = command("train", *other, "steps=6", f"run_dir={folder}")
    assert refused.returncode == 2 and "data.vocabulary is 300 there, 280 here" in refused.stderr


def test_text_is_generated_with_it_and_comes_in_whole_characters(
    checkpoint: Path, command: Command
) -> None:
    kept = read_tokenizer(str(checkpoint))
    given = ("prompt=def main(", "tokens=40", "format=json")
    result = json.loads(command("generate", f"checkpoint={checkpoint}", *given).stdout)
    assert result["tokens"] == 40 and result["text"]
    (prompt,) = kept.encode([b"def main("])
    assert len(prompt) < 9  # letters
    shown = command("generate", f"checkpoint={checkpoint}", *given[:2]).stdout
    assert shown == "def main(" + result["text"] + "\n"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "tokenizer.json is missing, and it was trained with data.tokenizer=bpe; put the"),
        ("{", "cannot be read as a tokenizer"),
        (500, "tokens, the model only 300; put the file back that was saved with it"),
    ],
)
def test_a_checkpoint_whose_tokenizer_is_gone_or_another_is_refused(
    damage: str | int | None, message: str, checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    path = folder / "tokenizer.json"
    path.unlink()
    if isinstance(damage, str):
        path.write_text(damage)
    elif damage:
        content = json.loads((checkpoint / "tokenizer.json").read_text())
        content["model"]["vocab"] |= {f"more{n}": SIZE + n for n in range(damage)}
        path.write_text(json.dumps(content))
    for verb, more in (("generate", ()), ("export", (f"to={tmp_path / 'out'}",))):
        result = command(verb, f"checkpoint={folder}", *more)
        assert result.returncode == 2 and message in result.stderr
        assert result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_an_exported_tokenizer_is_the_same(
    checkpoint: Path, command: Command, tmp_path: Path
) -> None:
    kept, to = read_tokenizer(str(checkpoint)), tmp_path / "exported"
    assert command("export", f"checkpoint={checkpoint}", f"to={to}").returncode == 0
    theirs = AutoTokenizer.from_pretrained(to)
    assert theirs.eos_token_id == theirs.pad_token_id == kept.end
    for text in (TEXT, "é <|endoftext|> 😀\n\n  x"):
        tokens = kept.encode([text.encode()])[0].tolist()
        assert theirs(text)["input_ids"] == tokens and theirs.decode(tokens) == text
    settings = json.loads((to / "generation_config.json").read_text())
    assert settings["eos_token_id"] == kept.end


def test_a_model_with_too_few_tokens_is_refused_and_nothing_is_written(
    text: Path, command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    result = command("train", *small(text, 256), "steps=6", f"run_dir={folder}")
    line = "error: model.vocabulary=256: expected at least the data's 300; set model.vocabulary=300"
    assert (result.returncode, result.stderr) == (2, line + "\n") and not folder.exists()


def test_weights_of_other_tokens_are_no_beginning(
    checkpoint: Path, text: Path, command: Command, tmp_path: Path
) -> None:
    arguments = [*small(text), "steps=2", f"run_dir={tmp_path / 'run'}"]
    begun = command("train", *arguments, f"training.init_from={checkpoint}")
    assert begun.returncode == 0 and "begin as there" in begun.stdout
    arguments = [a for a in arguments if not a.startswith("data.vocabulary")]
    arguments[-1] = f"run_dir={tmp_path / 'other'}"
    arguments[arguments.index("data.tokenizer=bpe")] = "data.tokenizer=bytes"
    refused = command("train", *arguments, f"training.init_from={checkpoint}")
    assert refused.returncode == 2 and "its tokens are others than those of the text" in (
        refused.stderr
    )


@pytest.mark.slow
def test_a_search_records_its_vocabulary_and_its_genomes_train_with_it(
    text: Path, command: Command, tmp_path: Path
) -> None:
    settings = [
        "+experiment=smoke", "scale=cpu", "search.population=2", "search.generations=1",
        "search.baselines=[]", "executor.workers=1", "training.length=32",
        *small(text, 512)[6:],
    ]  # fmt: skip
    settings[settings.index(f"data.vocabulary={SIZE}")] = "data.vocabulary=512"
    folder = tmp_path / "run"
    result = command("evolve", *settings, f"run_dir={folder}")
    assert result.returncode == 0, result.stderr
    run = Run.open(folder)
    assert run.settings["model"]["vocabulary"] == 512
    population = pd.read_csv(folder / "population.csv")
    assert len(population) == 2 and population["validation_loss"].notna().all()
    best = next((folder / "genomes").glob("*.yaml"))
    data = read_genome_file(best).settings["data"]
    assert data["tokenizer"] == "bpe" and data["vocabulary"] == 512
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    assert kept["data"]["path"] == str(text)
    trained = tmp_path / "trained"
    result = command(
        "train", f"genome={best}", "steps=2", "tensorboard=never", f"run_dir={trained}"
    )
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(trained).config.vocabulary == 512
    assert (trained / "tokenizer.json").exists()
