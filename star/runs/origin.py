"""Where a genome comes from: the sizes, data and training that it was found with.

Genome files of runs and checkpoints carry them, so that the commands that take such a file go on
with the same model on the same text unless they are told otherwise.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from star.base.errors import plain
from star.base.reading import expanded, is_file, kind_of
from star.base.settings import flat
from star.genomes import (
    CacheSetting,
    Genome,
    GenomeError,
    ModelConfig,
    at_depth,
    load_genome,
    read_genome_settings,
    with_state_dtype,
)
from star.genomes.alphabets import HYBRID
from star.genomes.files import genome_path, is_genome_text, library_names, read_library
from star.genomes.hybrids import read_hybrid_sizes
from star.genomes.model_config import OPTIONAL
from star.runs.folder import GENOMES
from star.runs.provenance import CONFIGURATION, read_configuration
from star.runs.run import Run, split_reference

SUFFIXES = {".yaml", ".yml"}
SECTIONS = ("model", "cache", "training", "data")
FINGERPRINT = "data_fingerprint"
KINDS = ("bytes", "bpe")  # of data.tokenizer, which are no paths, whatever lies in this folder
# What a command decides by itself: how long it trains, on what machine, at how
# many rates, and from which weights.
LEFT_OUT = {
    *("training.steps", "training.schedule", "training.device", "training.precision"),
    *("training.learning_rates", "training.rate_steps"),
    *("training.init_from", "training.init_copies"),
}
# Named in a notice whatever they are; others where they are not the usual ones.
ALWAYS = ("model.width", "cache.context")

Sizes = TypeVar("Sizes", ModelConfig, CacheSetting)


def origin_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's settings that its genome files carry; the data's paths are absolute."""
    kept = {key: settings[key] for key in (*SECTIONS, FINGERPRINT) if key in settings}
    data = kept.get("data", {})
    for key in ("path", "tokenizer", "name"):
        given = data.get(key)
        if given is None or given in KINDS:
            continue
        if key == "path" or kind_of(expanded(given)):  # else a name on the hub
            data = {**data, key: str(expanded(given).absolute())}
    return {**kept, "data": data} if data else kept


def bound_settings(given: Set[str]) -> set[str]:
    """Settings that are not taken where others are given: those that fit one width only."""
    return {f"model.{name}" for name in OPTIONAL} if "model.width" in given else set()


@dataclass(frozen=True)
class Origin:
    """Settings that a genome was found with."""

    bound = staticmethod(bound_settings)

    source: str  # the file they stand in
    settings: Mapping[str, Any] = field(default_factory=dict)  # by dotted key: model.width
    fingerprint: str = ""  # of the data

    @property
    def wanted(self) -> dict[str, Any]:
        """What a command takes unless it is told otherwise."""
        return {key: value for key, value in self.settings.items() if key not in LEFT_OUT}

    def section(self, name: str) -> dict[str, Any]:
        """The settings of one section, by their own names."""
        start = f"{name}."
        return {
            key.removeprefix(start): value
            for key, value in self.settings.items()
            if key.startswith(start)
        }

    def notices(self, config: Any, fingerprint: str = "") -> Iterator[str]:
        """What a command takes from here, and what it was told to do otherwise.

        Args:
            config: the command's settings, a dataclass with some of the sections.
            fingerprint: of the text that it reads; empty if it reads none.
        """
        now, usual = (flat(asdict(c)) for c in (config, type(config)()))
        taken, other = [], []
        for key, value in self.wanted.items():
            if key not in now:
                continue
            if now[key] != value:
                other.append(f"{key}={now[key]} instead of {value}")
            elif key in ALWAYS or value != usual[key]:
                taken.append(f"{key}={value}")
        if taken:
            yield f"as in {self.source}: {', '.join(taken)}"
        if other:
            yield f"other than in {self.source}: {', '.join(other)}"
        same_data = not any(text.startswith("data.") for text in other)
        if fingerprint and self.fingerprint not in ("", fingerprint) and same_data:
            yield f"the text has changed since {self.source} was written"


def load_reference(
    reference: str, depth: int | None = None, alphabet: str = "star"
) -> tuple[Genome, str, list[str]]:
    """A genome, its name and notices: as `star.genomes.load_genome`, or of a run by `<run>/<id>`.

    Args:
        reference: a design, a genome file, its text, or `<run>/<id>`.
        depth: number of LIVs, repeated or cut to; None is the genome's own.
        alphabet: of a text.

    Raises:
        GenomeError: for what is no genome.
        UserError: for an id that the run does not have.
    """
    is_there = is_genome_text(reference) or kind_of(expanded(reference), "genome")
    place = None if is_there else split_reference(reference)
    if place is None:
        return load_genome(reference, depth, alphabet)
    found = Run.open(place[0]).genome(place[1])
    genome, notices = at_depth(found, depth, reference)
    return genome, place[1], notices


def configured(usual: Sizes, origin: Origin | None, section: str, **given: Any) -> Sizes:
    """A section's settings: what is given, else what the genome's origin has, else the usual.

    Args:
        usual: a dataclass with the values for everything else.
        origin: of the genome, if it has one.
        section: of the origin, such as `model`.
        given: by name; None is not given.

    Raises:
        GenomeError: for a value of another kind, with the file that it stands in or the key.
    """
    known = {one.name for one in fields(usual)}
    there = {k: v for k, v in origin.section(section).items() if k in known} if origin else {}
    other = {k for k, v in given.items() if v is not None and v != there.get(k)}
    bound = bound_settings({f"{section}.{key}" for key in other})
    there = {key: value for key, value in there.items() if f"{section}.{key}" not in bound}
    config: DictConfig = OmegaConf.structured(usual)
    for source, values in ((origin.source if origin else "", there), ("", given)):
        for key, value in values.items():
            if value is None:
                continue
            try:
                config[key] = value
            except OmegaConfBaseException as error:
                where = f"{source}: settings.{section}." if source else ""
                raise GenomeError(f"{where}{key}={value!r}: {plain(error.msg)}") from None
    return cast(Sizes, OmegaConf.to_object(config))


def read_origin(reference: str, alphabet: str = "star") -> Origin | None:
    """The origin of what `genome=` names: a genome file, a design of the library that has sizes of
    its own, `<run>/<id>`, or a text of letters of a hybrid; None where it has none.

    What carries no settings, since it is not on the front or of an earlier version, has those of
    its run's `config.yaml`, with paths as they were typed.

    Args:
        reference: what `genome=` is.
        alphabet: of a text.

    Raises:
        GenomeError: for a genome file that cannot be read.
        UserError: for a run whose settings cannot be read.
    """
    if is_genome_text(reference):
        folder = alphabet.removeprefix(HYBRID)
        sizes = read_hybrid_sizes(folder) if folder != alphabet else {}
        return _origin(f"hybrid {folder}", {"model": sizes}) if sizes else None
    path = genome_path(reference)
    if reference in library_names():
        own = read_library(reference).settings
        return _origin(f"the design {reference}", own) if own else None
    place = split_reference(str(path))
    if place is not None and path.suffix not in SUFFIXES:
        path = place[0] / GENOMES / f"{place[1]}.yaml"
    if path.suffix in SUFFIXES and is_file(path):
        settings = read_genome_settings(path)
        if settings:
            return _origin(str(path), settings)
    if place is None or path.parent.name != GENOMES:
        return None
    source = place[0] / CONFIGURATION
    return _origin(str(source), read_configuration(place[0])) if is_file(source) else None


def read_run_origin(folder: str) -> Origin:
    """The settings of a run. Raises `UserError` for what is none, or cannot be read."""
    run = Run.open(folder)
    return _origin(str(run.path / CONFIGURATION), run.settings)


def _origin(source: str, settings: Mapping[str, Any]) -> Origin:
    """Raises `GenomeError` for sections that are none."""
    for section in SECTIONS:
        if not isinstance(settings.get(section, {}), Mapping):
            found = settings[section]
            raise GenomeError(f"{source}: settings.{section} is {found!r}, expected a mapping")
    sections = {section: settings.get(section, {}) for section in SECTIONS}
    sections["cache"] = with_state_dtype(sections["cache"])
    return Origin(source, flat(sections), str(settings.get(FINGERPRINT, "")))
