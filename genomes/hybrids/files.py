"""The folder of a hybrid: `hybrid.yaml` says what it is, weights lie beside it.

A checkpoint of a hybrid holds the same file, without weights of components.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from star.base.errors import UserError, shown
from star.base.files import write_text
from star.base.reading import expanded, is_file, kind_of, read_text
from star.base.safe_yaml import parse_yaml

from ..alphabets import HYBRID
from ..errors import GenomeError
from ..files import GenomeFile, genome_file_text, parse_genome_file
from ..genome import Genome
from ..model_config import ModelConfig
from .components import Component, ForeignComponent, ForeignSegment, GenomeComponent
from .hybrid import Hybrid
from .letters import HybridAlphabet, hybrid_alphabet

FILE = "hybrid.yaml"
COMPONENTS = "components"  # folder of weights, <number>.safetensors
BESIDE = "."  # the folder in the name of an alphabet: that of the genome's own file
SCHEMA = 1
STAR = "star"  # the family of components that are genomes
_KEYS = {
    *("schema", "name", "blocks", "parts", "projector", "ends", "components", "mixture"),
    "projectors",
}


def has_components(alphabet: str) -> bool:
    """Whether the folder of a hybrid holds pretrained weights. alphabet: `hybrid:` and the
    folder."""
    return (Path(alphabet.removeprefix(HYBRID)) / COMPONENTS).is_dir()


def read_hybrid(folder: str) -> HybridAlphabet:
    """The alphabet of the hybrid in a folder. Raises `GenomeError` where there is none."""
    if not folder:
        raise GenomeError(
            f"alphabet={HYBRID} names none: expected the folder of a hybrid behind it, such as "
            f"{HYBRID}runs/hybrid"
        )
    path = expanded(folder).resolve() / FILE
    if not is_file(path):
        what = kind_of(path) or "missing"
        raise GenomeError(f"alphabet={HYBRID}{folder}: {path} is {what}, expected a hybrid's file")
    try:
        text = read_text(path)
    except UserError as error:
        raise GenomeError(str(error)) from None
    return _parse(text, str(path), f"{HYBRID}{path.parent}")


@lru_cache(maxsize=64)
def _parse(text: str, source: str, name: str) -> HybridAlphabet:
    try:
        content = parse_yaml(text, source)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise GenomeError(f"expected a mapping with the key 'schema: {SCHEMA}'")
        unknown = sorted(map(str, set(content) - _KEYS))
        if unknown:
            raise GenomeError(f"unknown key {unknown[0]!r}, expected only {', '.join(_KEYS)}")
        hybrid = _hybrid(content, source)
        return hybrid_alphabet(name, hybrid, digest_of(hybrid))
    except UserError as error:
        raise GenomeError(str(error)) from None
    except GenomeError as error:
        message = str(error)
        raise GenomeError(
            message if message.startswith(source) else f"{source}: {message}"
        ) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GenomeError(f"{source}: cannot be read ({shown(repr(error))})") from None


def _hybrid(content: Mapping[str, Any], source: str) -> Hybrid:
    mixture = tuple(tuple(float(w) for w in row) for row in content.get("mixture") or ())
    return Hybrid(
        str(content["name"]),
        tuple(_component(one, f"{source}, component {n}") for n, one in _numbered(content)),
        int(content["blocks"]),
        int(content["parts"]),
        str(content["projector"]),
        str(content["ends"]),
        mixture,
        str(content.get("projectors", "")),
    )


def _numbered(content: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(content["components"]))


def _component(content: Mapping[str, Any], source: str) -> Component:
    if content["family"] == STAR:
        genome = parse_genome_file(yaml.safe_dump(dict(content["genome"])), source).genome
        sizes = ModelConfig(**content["sizes"])
        sizes.check()
        return GenomeComponent(content["name"], content["digest"], genome, sizes)
    own = {**content, "layer": ForeignSegment(**content["layer"])}
    embedding, norm, head = content["end_parameters"]
    return ForeignComponent(**{**own, "end_parameters": (embedding, norm, head)})


def _component_content(component: Component) -> dict[str, Any]:
    if isinstance(component, GenomeComponent):
        text = genome_file_text(GenomeFile(component.name, component.genome))
        return {
            "name": component.name,
            "digest": component.digest,
            "family": STAR,
            "genome": yaml.safe_load(text),
            "sizes": component.sizes.content(),
        }
    assert isinstance(component, ForeignComponent)
    content = asdict(component)
    return {**content, "end_parameters": list(component.end_parameters)}


def _content(hybrid: Hybrid) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": hybrid.name,
        "blocks": hybrid.blocks,
        "parts": hybrid.parts,
        "projector": hybrid.projector,
        "ends": hybrid.ends,
        "components": [_component_content(component) for component in hybrid.components],
        **({"mixture": [list(row) for row in hybrid.mixture]} if hybrid.mixture else {}),
        **({"projectors": hybrid.projectors} if hybrid.projectors else {}),
    }


def digest_of(hybrid: Hybrid) -> str:
    """A hash of all that decides what a letter stands for: 16 hexadecimal digits."""
    text = json.dumps(_content(hybrid), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hybrid_text(hybrid: Hybrid) -> str:
    """The text of its file, which `read_hybrid` reads back to an equal value."""
    return yaml.safe_dump(_content(hybrid), sort_keys=False, allow_unicode=True)


def beside(genome: Genome) -> Genome:
    """The genome as a file is to hold it that has the hybrid's own beside it."""
    return replace(genome, alphabet=replace(genome.alphabet, name=f"{HYBRID}{BESIDE}"))


def write_hybrid(folder: Path, hybrid: Hybrid) -> HybridAlphabet:
    """Write the file of a hybrid into a folder that is there; returns its alphabet."""
    hybrid.check()
    write_text(folder / FILE, hybrid_text(hybrid))
    return read_hybrid(str(folder))
