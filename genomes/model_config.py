"""The sizes a genome is decoded at. Widths derived from them are in `widths.py`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from star.base.errors import shown
from star.base.ranges import Range, fault

from .errors import GenomeError

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
HEAD_WIDTH = 64
NARROW = 256  # below this width the head width is a quarter of the width
WIDEST = 2**16
# Optional sizes, and what each is a multiple of: two operators may share a head, and rotations take
# pairs of channels.
OPTIONAL = {
    "head_width": 4, "attention_width": 8, "recurrent_width": 8, "recurrent_head_width": 4,
    "recurrent_groups": 1, "feed_forward_width": 8,
}  # fmt: skip
# How many norms a LIV has, by where they stand (`norms.py`).
NORMS = {"pre": 1, "post": 1, "sandwich": 2, "post_attention": 1}
SCALING = ("rope_factor", "rope_original_positions", "rope_low_factor", "rope_high_factor")
# Sizes that recipes of before do not have.
LATER = {*OPTIONAL, "norms", "residual_scale", *SCALING}
SIZES = {
    "vocabulary": Range(1, 10**7),
    "window": Range(1, 10**9),
    "rope_base": Range(0, 10**15, above=True),
    "norm_eps": Range(0, 1, above=True),
    "residual_scale": Range(0, 100, above=True),
    "rope_factor": Range(1, 10**6),
    "rope_original_positions": Range(1, 10**9),
    "rope_low_factor": Range(0, 10**6, above=True),
    "rope_high_factor": Range(0, 10**6, above=True),
}
CACHE_SIZES = {"context": Range(1, 10**9), "batch": Range(1, 10**9)}


@dataclass
class ModelConfig:
    """Everything but the genome that decides a model's parameters and cache."""

    width: int = 64  # of the model, d
    vocabulary: int = 256  # number of tokens
    window: int = 64  # positions that banded operators see
    tie_embeddings: bool = True  # one matrix for embedding and head
    rope_base: float = 10000.0  # of the rotary position embedding
    norm_eps: float = 1e-6  # of every RMSNorm
    head_width: int | None = None  # null: 64, or a quarter of a width below 256
    attention_width: int | None = None  # channels of attention, heads x head width; null: width
    recurrent_width: int | None = None  # channels of recurrences; null: width, Mamba's are twice it
    recurrent_head_width: int | None = None  # of recurrences with heads; null: head_width
    recurrent_groups: int | None = None  # of Mamba-2's heads, each with its own B and C; null: 1
    feed_forward_width: int | None = None  # channels of feed-forward layers; null: 8/3 of the width
    norms: str = "pre"  # before each LIV; post: behind it; sandwich: both; post_attention: mixed
    residual_scale: float = 1.0  # factor of what each LIV adds
    rope_factor: float = 1.0  # rotations are so much slower, for so many more positions
    rope_original_positions: int | None = None  # of before: then only slow ones are, as in Llama 3
    rope_low_factor: float = 1.0  # turns in those positions: rotations of fewer are slowed in full
    rope_high_factor: float = 4.0  # turns in those positions: rotations of more are not slowed

    def check(self) -> None:
        """Raise `GenomeError` when a size cannot be built."""
        check_width("width", self.width)
        _expect_ranges("model.", self, SIZES)
        if self.norms not in NORMS:
            raise GenomeError(
                f"model.norms={shown(self.norms)}: expected one of {', '.join(NORMS)}"
            )
        self._check_scaling()
        for name, multiple in OPTIONAL.items():
            if getattr(self, name) is not None:
                _check_multiple(name, getattr(self, name), multiple)

    def _check_scaling(self) -> None:
        if self.rope_original_positions is not None and self.rope_factor == 1:
            raise GenomeError(
                f"model.rope_original_positions={self.rope_original_positions}: expected null, or "
                "a model.rope_factor above 1"
            )
        if self.rope_low_factor >= self.rope_high_factor:
            raise GenomeError(
                f"model.rope_low_factor={self.rope_low_factor}: expected less than "
                f"model.rope_high_factor={self.rope_high_factor}"
            )

    @property
    def given(self) -> dict[str, int]:
        """Sizes that do not follow from the model's width, by name."""
        return {name: value for name in OPTIONAL if (value := getattr(self, name)) is not None}

    @classmethod
    def from_content(cls, content: Mapping[Any, Any]) -> "ModelConfig":
        """The sizes of `content` again. Raises `GenomeError` naming the key, its value and what was
        expected."""
        kinds = {
            field.name: int if field.default is None else type(field.default)  # where given
            for field in fields(cls)
        }
        missing = {key: None for key in cls().content() if key not in content}
        expect_kinds("", {**content, **missing}, kinds)
        config = cls(**content)
        config.check()
        return config

    def content(self) -> dict[str, Any]:
        """The sizes as recipes and checkpoints keep them: those that came later only where they are
        not as before."""
        usual = ModelConfig()
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in LATER or value != getattr(usual, name)
        }


def expect_kinds(prefix: str, content: Mapping[Any, Any], kinds: Mapping[str, type]) -> None:
    """Raise `GenomeError` for a key that is unknown, or has a value of another kind.

    Args:
        prefix: of the message, such as the file and a colon.
        content: values by key.
        kinds: of all keys that there may be.
    """
    for key, value in content.items():
        if key not in kinds:
            given = shown(repr(key), 60)
            raise GenomeError(f"{prefix}unknown key {given}, expected only {', '.join(kinds)}")
        if type(value) is not kinds[key]:
            given, expected = shown(repr(value), 60), kinds[key].__name__
            raise GenomeError(f"{prefix}key {key!r} is {given}, expected {expected}")


def _expect_ranges(prefix: str, settings: object, ranges: Mapping[str, Range]) -> None:
    message = fault(prefix, settings, ranges)
    if message:
        raise GenomeError(message)


def check_width(name: str, width: int) -> None:
    """Raise `GenomeError` naming the key for a width that no model has."""
    if isinstance(width, bool) or not isinstance(width, int):
        raise GenomeError(f"model.{name}={shown(repr(width))}: expected a whole number")
    if width > WIDEST:
        raise GenomeError(f"model.{name}={shown(str(width))}: expected at most {WIDEST:,}")
    multiple = HEAD_WIDTH if width >= NARROW else 16
    if width < 16 or width % multiple:
        raise GenomeError(
            f"model.{name}={shown(str(width))}: expected a multiple of 16 below {NARROW}, "
            f"of {HEAD_WIDTH} from there on"
        )


def _check_multiple(name: str, value: int, multiple: int) -> None:
    if value < multiple or value > WIDEST or value % multiple:
        what = "a whole number from 1" if multiple == 1 else f"a multiple of {multiple}"
        raise GenomeError(f"model.{name}={value}: expected {what} up to {WIDEST:,}")


def head_width(model: ModelConfig) -> int:
    """Width of one attention head: 64, or a quarter of a width below 256, unless it is given."""
    if model.head_width is not None:
        return model.head_width
    return HEAD_WIDTH if model.width >= NARROW else model.width // 4


def with_state_dtype(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a cache, of before running states had a dtype of their own as well."""
    return {**({"state_dtype": settings["dtype"]} if "dtype" in settings else {}), **settings}


@dataclass
class CacheSetting:
    """What generation is prepared for, when its cache is counted."""

    context: int = 4096  # positions held
    batch: int = 1  # sequences
    dtype: str = "bfloat16"  # of keys, values and last inputs
    state_dtype: str = "float32"  # of running states; bfloat16 halves and spoils them

    def check(self) -> None:
        """Raise `GenomeError` naming the key, its value and what was expected."""
        _expect_ranges("cache.", self, CACHE_SIZES)
        for name in ("dtype", "state_dtype"):
            value = getattr(self, name)
            if value not in list(DTYPE_BYTES):  # a list is no key of a mapping
                raise GenomeError(f"cache.{name}={value}: expected one of {', '.join(DTYPE_BYTES)}")
