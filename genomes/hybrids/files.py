"""The folder of a hybrid: `hybrid.yaml` says what it is, weights lie beside it.

A checkpoint of a hybrid holds the same file, without weights of components.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
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
from ..model_config import ModelConfig, expect_kinds
from .components import Component, ForeignComponent, ForeignSegment, GenomeComponent
from .hybrid import Hybrid
from .letters import HybridAlphabet, hybrid_alphabet

FILE = "hybrid.yaml"
COMPONENTS = "components"  # folder of weights, <number>.safetensors
BESIDE = "."  # the folder in the name of an alphabet: that of the genome's own file
SCHEMA = 1
STAR = "star"  # the family of components that are genomes
_KINDS = {
    "name": str, "blocks": int, "parts": int, "projector": str, "ends": str, "components": list,
}  # fmt: skip
_OPTIONAL = {"mixture": list, "projectors": str}
_OF_GENOMES = {"name": str, "digest": str, "family": str, "genome": dict, "sizes": dict}
_OF_OTHERS = {
    "name": str, "digest": str, "family": str, "config": dict, "width": int, "vocabulary": int,
    "layers": int, "layer": dict, "end_parameters": list,
}  # fmt: skip
_LAYER = {"parameters": int, "remembered": int, "products": int, "products_per_position": int}


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


def read_hybrid_sizes(folder: str) -> dict[str, int]:
    """Width and vocabulary of the hybrid in a folder, without its genomes, whose operators plugins
    may add later; empty where they cannot be read, of which `read_hybrid` says why."""
    try:
        path = expanded(folder) / FILE
        components = parse_yaml(read_text(path) if is_file(path) else "", path)["components"]
        sizes = [component.get("sizes", component) for component in components]
        width = max(one["width"] for one in sizes)
        return {"width": int(width), "vocabulary": int(sizes[0]["vocabulary"])}
    except (UserError, OSError, LookupError, TypeError, ValueError, AttributeError):
        return {}


@lru_cache(maxsize=64)
def _parse(text: str, source: str, name: str) -> HybridAlphabet:
    try:
        content = parse_yaml(text, source)
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != SCHEMA or isinstance(schema, bool):
            raise GenomeError(f"expected a mapping with the key 'schema: {SCHEMA}'")
        del content["schema"]
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


def _typed(
    content: object,
    kinds: Mapping[str, type],
    source: str,
    optional: Mapping[str, type] = MappingProxyType({}),
) -> dict[str, Any]:
    """The values of a mapping. Raises `GenomeError` for a key that is missing, unknown, or has a
    value of another kind."""
    if not isinstance(content, dict):
        raise GenomeError(f"{source}: is {shown(repr(content), 60)}, expected a mapping")
    expect_kinds(f"{source}: ", content, {**kinds, **optional})
    for key in kinds:
        if key not in content:
            raise GenomeError(f"{source}: key {key!r} is missing")
    return content


def _numbers(values: object, kinds: tuple[type, ...], source: str) -> list[Any]:
    """A list of numbers. Raises `GenomeError` for anything else."""
    if not isinstance(values, list) or any(type(value) not in kinds for value in values):
        given, expected = shown(repr(values), 60), kinds[0].__name__
        raise GenomeError(f"{source}: is {given}, expected a list of {expected}")
    return values


def _hybrid(content: object, source: str) -> Hybrid:
    own = _typed(content, _KINDS, source, _OPTIONAL)
    rows = own.get("mixture", [])
    own["mixture"] = tuple(
        tuple(map(float, _numbers(row, (float, int), f"{source}, mixture of block {block}")))
        for block, row in enumerate(rows)
    )
    own["components"] = tuple(
        _component(one, f"{source}, component {number}")
        for number, one in enumerate(own["components"])
    )
    return Hybrid(**own)


def _component(content: object, source: str) -> Component:
    if isinstance(content, dict) and content.get("family") == STAR:
        own = _typed(content, _OF_GENOMES, source)
        if str(own["genome"].get("alphabet")).startswith(HYBRID):
            raise GenomeError(f"{source}: is a hybrid itself, expected a genome of LIVs")
        genome = parse_genome_file(yaml.safe_dump(own["genome"]), f"{source}, genome").genome
        try:
            sizes = ModelConfig.from_content(own["sizes"])
        except GenomeError as error:
            raise GenomeError(f"{source}, sizes: {error}") from None
        return GenomeComponent(own["name"], own["digest"], genome, sizes)
    own = _typed(content, _OF_OTHERS, source)
    layer = ForeignSegment(**_typed(own["layer"], _LAYER, f"{source}, layer"))
    ends = _numbers(own["end_parameters"], (int,), f"{source}, end_parameters")
    if len(ends) != 3:
        raise GenomeError(f"{source}: end_parameters has {len(ends)} numbers, expected 3")
    costs = {**vars(layer), "end_parameters": min(ends)}
    sizes = {key: own[key] for key in ("width", "vocabulary", "layers")}
    for least, values in ((1, sizes), (0, costs)):
        for key, value in values.items():
            if value < least:
                raise GenomeError(f"{source}: {key} is {value}, expected at least {least}")
    return ForeignComponent(**{**own, "layer": layer, "end_parameters": tuple(ends)})


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
