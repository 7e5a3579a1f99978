"""Checkpoints and training states that are damaged or of another model."""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from cases.case import Case, Expected, Scratch, done, either, generate, refused, train

STATE, WEIGHTS = "training_state.safetensors", "model.safetensors"
Tensors = dict[str, np.ndarray]
Change = Callable[[Tensors, dict[str, str]], object]


def read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a file."""
    with safe_open(path, framework="np") as file:
        names = file.keys()  # it is no mapping
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def _moments(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def damage(tensors: Tensors, metadata: dict[str, str]) -> None:
        for name in tensors:
            if name.startswith("optimizer.") and not name.endswith(".step"):
                tensors[name] = change(tensors[name])

    return damage


def _weights(change: Callable[[np.ndarray], np.ndarray], prefix: str = "") -> Change:
    def damage(tensors: Tensors, metadata: dict[str, str]) -> None:
        for name in tensors:
            if name.startswith(prefix):
                tensors[name] = change(tensors[name])

    return damage


def _renamed(old: str, new: str) -> Change:
    """One tensor whose name holds `old` under another name."""

    def damage(tensors: Tensors, metadata: dict[str, str]) -> None:
        name = next(name for name in tensors if old in name)
        tensors[name.replace(old, new)] = tensors.pop(name)

    return damage


def _dropped(part: str, every: bool = True) -> Change:
    def damage(tensors: Tensors, metadata: dict[str, str]) -> None:
        for name in [name for name in tensors if part in name][: None if every else 1]:
            del tensors[name]

    return damage


def _metadata(**values: str) -> Change:
    return lambda tensors, metadata: metadata.update(values)


def _added(name: str) -> Change:
    return lambda tensors, metadata: tensors.update({name: np.zeros(3, np.float32)})


STATES: Mapping[str, Change] = {
    "moments of another shape": _moments(lambda v: v.reshape(-1)[:1].copy()),
    "moments with an axis more": _moments(lambda v: v[None].copy()),
    "moments of integers": _moments(lambda v: v.astype(np.int64)),
    "moments of float64": _moments(lambda v: v.astype(np.float64)),
    "moments of bools": _moments(lambda v: v > 0),
    "empty moments": _moments(lambda v: v.reshape(-1)[:0].copy()),
    "moments of NaN": _moments(lambda v: np.full_like(v, np.nan)),
    "no moments": _dropped("optimizer."),
    "a moment less": _dropped("exp_avg_sq", every=False),
    "no second moments": _dropped("exp_avg_sq"),
    "no steps of the moments": _dropped(".step"),
    "a moment renamed": _renamed("exp_avg", "exp_mean"),
    "an index that is no number": _renamed("optimizer.0.", "optimizer.first."),
    "an index that is not there": _renamed("optimizer.0.", "optimizer.999."),
    "an index of 5,000 digits": _renamed("optimizer.0.", f"optimizer.{'1' * 5000}."),
    "an index of minus one": _renamed("optimizer.0.", "optimizer.-1."),
    "a tensor more": _added("optimizer.0.mine"),
    "a part more": _added("mine.0"),
    "a weight more": _added("model.mine"),
    "no weights": _dropped("model."),
    "a weight less": _dropped("model.", every=False),
    "weights of another shape": _weights(lambda v: v[..., :1].copy(), "model."),
    "weights of integers": _weights(lambda v: v.astype(np.int64), "model."),
    "weights of float64": _weights(lambda v: v.astype(np.float64), "model."),
    "weights of NaN": _weights(lambda v: np.full_like(v, np.nan), "model."),
    "a step of 5,000 digits": _metadata(step="1" * 5000),
    "a step of other digits": _metadata(step="٣"),
    "a superscript step": _metadata(step="²"),
    "step 99 of 12": _metadata(step="99"),
    "a negative step": _metadata(step="-1"),
    "a step that is a text": _metadata(step="five"),
    "an empty step": _metadata(step=""),
    "another schema": _metadata(schema="99"),
    "no metadata": lambda tensors, metadata: metadata.clear(),
    "nothing": lambda tensors, metadata: tensors.clear(),
}
BROKEN: Mapping[str, Change] = {
    "a weight less": _dropped("", every=False),
    "no weights": lambda tensors, metadata: tensors.clear(),
    "a weight more": _added("mine"),
    "weights of another shape": _weights(lambda v: v[..., :1].copy()),
    "weights of int64": _weights(lambda v: v.astype(np.int64)),
    "weights of complex numbers": _weights(lambda v: v.astype(np.complex64)),
    "weights of bools": _weights(lambda v: v > 0),
    "weights of NaN": _weights(lambda v: np.full_like(v, np.nan)),
    "weights of infinity": _weights(lambda v: np.full_like(v, np.inf)),
    "weights of 10^38": _weights(lambda v: np.full_like(v, 1e38)),
    "another genome's id": _metadata(genome_id="abcdefabcdef"),
}
# What may become of a file whatever is in it.
FILES: Mapping[str, Callable[[bytes], bytes]] = {
    "of nothing": lambda content: b"",
    "of one byte": lambda content: b"x",
    "of zeros": lambda content: b"\0" * len(content),
    "of text": lambda content: b"hello\n" * 1000,
    "cut in half": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "with a byte more": lambda content: content + b"x",
    "with a huge header": lambda content: struct.pack("<Q", 2**62) + content[8:],
    "with a header of zero": lambda content: struct.pack("<Q", 0) + content[8:],
    "with a broken header": lambda content: content[:8] + b"}" + content[9:],
    "of a pickle": lambda content: b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
}


def _changed(file: str, change: Change) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        path = place.copy("training") / file
        tensors, metadata = read(path)
        if file == STATE:
            metadata["step"] = "5"  # so that it trains on with what is there
            for name in [name for name in tensors if name.endswith(".step")]:
                tensors[name] = np.full_like(tensors[name], 5)
        change(tensors, metadata)
        save_file(tensors, path, metadata)

    return prepare


def _rewritten(file: str, change: Callable[[bytes], bytes]) -> Callable[[Scratch], None]:
    def prepare(place: Scratch) -> None:
        path = place.copy("training") / file
        path.write_bytes(change(path.read_bytes()))

    return prepare


def _states() -> Iterator[Case]:
    command = train("run_dir=training")
    for name, change in STATES.items():
        expected: Expected = refused(STATE)
        if name in ("moments of NaN", "weights of NaN"):  # it diverges: exit 1 is right too
            expected = Expected((1, 2))
        if name == "step 99 of 12":
            expected = refused("99")
        yield Case(f"checkpoints/state: {name}", command, expected, _changed(STATE, change))
    yield Case(
        "checkpoints/state: as it was saved",
        command,
        done("going on after step 5"),
        _changed(STATE, lambda tensors, metadata: None),
    )
    for name, rewrite in FILES.items():
        yield Case(
            f"checkpoints/state: a file {name}", command, refused(STATE), _rewritten(STATE, rewrite)
        )


def _checkpoints() -> Iterator[Case]:
    for name, change in BROKEN.items():
        for temperature in ("0.8", "0"):
            words = generate("checkpoint=training", f"temperature={temperature}")
            yield Case(
                f"checkpoints/{name}, temperature {temperature}",
                words,
                either("training") if "10^38" in name else refused("training"),
                _changed(WEIGHTS, change),
            )
    for name, rewrite in FILES.items():
        words = generate("checkpoint=training")
        yield Case(
            f"checkpoints/weights: a file {name}",
            words,
            refused(WEIGHTS),
            _rewritten(WEIGHTS, rewrite),
        )
    for name in ("genome.yaml", "model.yaml", WEIGHTS):

        def prepare(place: Scratch, name: str = name) -> None:
            (place.copy("training") / name).unlink()

        words = generate("checkpoint=training")
        yield Case(f"checkpoints/without {name}", words, refused(name), prepare)


def _other_genome(place: Scratch) -> None:
    """The genome of weights that have the same shapes: ReLU attention in place of softmax."""
    path = place.copy("attention") / "genome.yaml"
    text = path.read_text().replace("11111-91111", "20.1.1.1.1-9.1.1.1.1")
    path.write_text(text.replace("alphabet: star", "alphabet: extended"))


def _generations() -> Iterator[Case]:
    yield Case(
        "checkpoints/weights of another genome",
        generate("checkpoint=attention"),
        refused("attention"),
        _other_genome,
    )
    copied = lambda place: place.copy("training")  # noqa: E731
    for name, words, expected in (
        ("a temperature of 1e-300", ("temperature=1e-300",), either("temperature")),
        ("a temperature of 1e-30", ("temperature=1e-30",), either("temperature")),
        ("a temperature of 1e300", ("temperature=1e300",), either("temperature")),
        ("a top_p of 1e-300", ("top_p=1e-300",), either("top_p")),
        ("a top_k above the vocabulary", ("top_k=1000000",), either("top_k")),
        ("an empty prompt", ("prompt=",), done()),
        ("a prompt of a megabyte", (f"prompt={'x' * 100_000}", "tokens=1"), either("prompt")),
        ("a prompt with NUL", ("prompt=a\x01b",), done()),
        ("a prompt with markup", ("prompt=[/x]",), done("[/x]")),
        ("a prompt that is a number", ("prompt=1_000",), done("1_000")),
        ("a prompt with an equals sign", ("prompt=a=b,c",), done("a=b,c")),
        ("a stop that is a number", ("stop=1e5",), done()),
        ("a context below the prompt", ("prompt=hello", "context=2"), refused("context")),
        ("a half-precision dtype", ("dtype=float16",), either("dtype")),
        ("bfloat16", ("dtype=bfloat16",), done()),
        ("JSON", ("format=json",), done('"tokens"')),
    ):
        yield Case(
            f"checkpoints/generate with {name}",
            generate("checkpoint=training", *words),
            expected,
            copied,
        )
    for name, checkpoint in (
        ("a file", "training/model.yaml"),
        ("a search", "."),
        ("nothing", ""),
        ("a design", "lfm2"),
    ):
        words = generate(f"checkpoint={checkpoint}")
        yield Case(f"checkpoints/a checkpoint that is {name}", words, refused("checkpoint"), copied)


def _configurations() -> Iterator[Case]:
    """The other files of a training's folder."""

    def prepare(file: str, content: str) -> Callable[[Scratch], None]:
        def write(place: Scratch) -> None:
            (place.copy("training") / file).write_text(content)

        return write

    for name, content in {
        "of nothing": "",
        "of a list": "- 1\n",
        "of a broken int": "steps: !!int abc\n",
        "of 5,000 digits": f"steps: {'1' * 5000}\n",
        "of no YAML": "steps: [1\n",
        "of nested lists": f"steps: {'[' * 900}{']' * 900}\n",
    }.items():
        yield Case(
            f"checkpoints/config.yaml {name}",
            train("run_dir=training"),
            refused("training"),
            prepare("config.yaml", content),
        )
    for name, content in {
        "of nothing": "",
        "of text": "hello\n",
        "of other columns": "a,b\n1,2\n",
        "of NULs": "\0\0\0",
        "with a step that is no number": "step,train_loss\nfive,1\n",
        "with a later step": json.dumps({"step": 99}),
    }.items():
        yield Case(
            f"checkpoints/log.csv {name}",
            train("run_dir=training"),
            either("log.csv"),
            prepare("log.csv", content),
        )


CASES = (*_states(), *_checkpoints(), *_generations(), *_configurations())
