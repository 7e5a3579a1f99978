"""Checkpoint folders: what is written is read back, and anything wrong is one clear error."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from star.base.errors import UserError
from star.genomes import (
    Genome,
    GenomeError,
    GenomeFile,
    ModelConfig,
    former_id,
    genome_file_text,
)
from star.models import decode, load_checkpoint, save_checkpoint

CONFIG = ModelConfig(width=32, window=7, rope_base=500.0, tie_embeddings=False)
TIED = Genome.from_text("51211-91111-51211-71113-71113", "extended")  # tied and borrowed weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(
        tmp_path, decode(TIED, CONFIG), GenomeFile("tied", TIED, metrics={"loss": 2.5}), CONFIG
    )
    return tmp_path


def test_a_checkpoint_gives_back_the_model(folder: Path) -> None:
    torch.manual_seed(0)
    model, tokens = decode(TIED, CONFIG), torch.arange(9)[None]
    loaded = load_checkpoint(folder)
    assert (
        loaded.genome == GenomeFile("tied", TIED, metrics={"loss": 2.5}) and loaded.config == CONFIG
    )
    assert torch.equal(loaded.model(tokens), model(tokens))
    assert sorted(path.name for path in folder.iterdir()) == [
        "genome.yaml",
        "model.safetensors",
        "model.yaml",
    ]
    weights = load_file(folder / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == sum(
        p.numel() for p in model.parameters()
    )


def change_yaml(path: Path, **changes: object) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def change_weights(path: Path, **changes: torch.Tensor | None) -> None:
    weights = {**load_file(path), **changes}
    save_file({name: weight for name, weight in weights.items() if weight is not None}, path)


MISTAKES = {
    "genome.yaml is missing": lambda f: (f / "genome.yaml").unlink(),
    "model.safetensors is missing": lambda f: (f / "model.safetensors").unlink(),
    "model.safetensors: not readable as safetensors": lambda f: (
        f / "model.safetensors"
    ).write_bytes(b"\x80\x04rubbish"),
    "model.yaml: key 'width' is '32', expected int": lambda f: change_yaml(
        f / "model.yaml", width="32"
    ),
    "model.yaml: unknown key 'colour'": lambda f: change_yaml(f / "model.yaml", colour=1),
    "model.yaml: expected a mapping with the key 'schema: 1'": lambda f: change_yaml(
        f / "model.yaml", schema=2
    ),
    "model.yaml: not readable as YAML": lambda f: (f / "model.yaml").write_text("a: [1"),
    "model.width=33: expected a multiple": lambda f: change_yaml(f / "model.yaml", width=33),
    "genome.yaml: genome '9111'": lambda f: change_yaml(f / "genome.yaml", genome="9111"),
    "model.safetensors: holds the weights of genome .*, but genome.yaml beside it is": lambda f: (
        change_yaml(f / "genome.yaml", genome="51211-91111-51211-71111-71111")
    ),
    "model.safetensors: does not fit the genome and the sizes beside it: livs.4": lambda f: (
        change_yaml(f / "genome.yaml", genome="51211-91111-51211-71111-71111"),
        change_weights(f / "model.safetensors"),  # and forgets the id
    ),
    "norm.weight has dtype torch.int64, expected torch.float32$": lambda f: change_weights(
        f / "model.safetensors", **{"norm.weight": torch.ones(32, dtype=torch.int64)}
    ),
    "norm.weight has dtype torch.complex64, expected torch.float32$": lambda f: change_weights(
        f / "model.safetensors", **{"norm.weight": torch.ones(32, dtype=torch.complex64)}
    ),
    r"embedding.weight has shape \(256, 32\), expected \(256, 48\) \(and": lambda f: change_yaml(
        f / "model.yaml", width=48
    ),
    "norm.weight is missing$": lambda f: change_weights(
        f / "model.safetensors", **{"norm.weight": None}
    ),
    "extra is unknown to it$": lambda f: change_weights(
        f / "model.safetensors", extra=torch.zeros(1)
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_anything_wrong_is_one_clear_error(folder: Path, message: str) -> None:
    MISTAKES[message](folder)
    with pytest.raises((UserError, GenomeError), match=message) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_the_weights_of_another_genome_of_the_same_shapes_are_refused(folder: Path) -> None:
    softmax, relu = (Genome.from_text(f"{n}.1.1.1.1-9.1.1.1.1", "extended") for n in (1, 20))
    save_checkpoint(folder, decode(softmax, CONFIG), GenomeFile("softmax", softmax), CONFIG)
    assert load_checkpoint(folder).genome.genome.id == softmax.id
    (folder / "genome.yaml").write_text(genome_file_text(GenomeFile("relu", relu)))
    with pytest.raises(
        UserError, match=f"weights of genome {softmax.id}, but .* is {relu.id}; put"
    ):
        load_checkpoint(folder)


def test_weights_with_a_former_id_or_without_one_and_in_other_dtypes_load(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for metadata in ({"genome_id": former_id(TIED.id)}, {}):
        half = {name: weight.bfloat16() for name, weight in weights.items()}
        save_file(half, folder / "model.safetensors", metadata)
        assert load_checkpoint(folder).model.dtype == torch.float32


def test_a_missing_folder_tells_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="nowhere: no such folder; expected a checkpoint folder .*star.train"
    ):
        load_checkpoint(tmp_path / "nowhere")
