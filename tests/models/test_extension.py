"""A user's operator, registered from outside the package (`moving_average.py`)."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import star.genomes as genomes
import star.models as models
from star.genomes import Genome, GenomeError, ModelConfig, arrays, get_alphabet
from star.genomes.operators import PER_CHANNEL, SEMI_SEPARABLE
from star.models import decode
from star.models.generation import Sampling, generate
from star.testing.structures import MODEL, build, check_class
from tests import registrations

MODULE = Path(__file__).parent / "moving_average.py"
EMA = "10000.1.2.1.1-9.1.1.1.1-10000.1.2.1.1"


def run_module(name: str = "moving_average") -> None:
    """What importing the user's file does."""
    specification = importlib.util.spec_from_file_location(name, MODULE)
    assert specification is not None and specification.loader is not None
    specification.loader.exec_module(importlib.util.module_from_spec(specification))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registrations.temporary():
        run_module()
        yield


def test_it_is_small() -> None:
    lines = MODULE.read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 32


def test_the_registration_ends_with_the_test() -> None:
    with registrations.temporary():
        genomes.register_structure(structure())
        genomes.register_class("Mine", "101.4.1.1.1", "", 10_001)
        assert 10_001 in get_alphabet("star+operators").by_id
    assert 10_001 not in get_alphabet("star+operators").by_id
    assert 10_000 in get_alphabet("extended").by_id


def test_it_passes_the_suite_of_structures() -> None:
    check_class(10_000)


def test_it_trains() -> None:
    torch.manual_seed(0)
    model = decode(Genome.from_text(EMA, "extended"), MODEL)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.arange(64).reshape(4, 16) % MODEL.vocabulary
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(x)[:, :-1].flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_it_generates_exactly() -> None:
    model = build(Genome.from_text(EMA, "extended"), scale=3.0)
    cache = models.Cache.allocate(model, 1, 20)
    prompt = [1, 5, 2]
    found = list(generate(model, cache, prompt, Sampling(0.0)))
    for n, token in enumerate(found):
        with torch.no_grad():
            assert int(model(torch.tensor([prompt + found[:n]]))[0, -1].argmax()) == token


def test_it_is_searched_like_any_other_class(tmp_path: Path) -> None:
    for name in ("extended", "star+operators"):
        letters = get_alphabet(name)
        genes = arrays.sample(200, 6, np.random.default_rng(0), letters, 0.5)
        assert (genes[:, :, 0] == 10_000).any() and arrays.valid(genes, letters).all()
    assert 10_000 in get_alphabet("star+operators").neighbours(5)
    assert 10_000 not in get_alphabet("star").ids
    content = genomes.GenomeFile("mine", Genome.from_text(EMA, "star+operators"))
    genomes.write_genome_file(tmp_path / "g.yaml", content)
    assert "10000: 100.4.1.1.1" in (tmp_path / "g.yaml").read_text()
    assert genomes.read_genome_file(tmp_path / "g.yaml").genome.id == content.genome.id


def test_the_module_may_be_imported_twice() -> None:
    before = get_alphabet("extended")
    run_module("again")
    assert get_alphabet("extended") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("SSD", "100.4.1.1.1", "", 10_001), "name 'SSD' is that of SSD"),
        (("Mine", "100.4.1.1.1", "", 10_001), "code '100.4.1.1.1' is that of EMA"),
        (("Mine", "12213", "", 10_001), r"code '12213' is that of Op-12213 \(id 114"),
        (("Mine", "100.4.1.1.1", "", 24), "id 24, expected 10000 to 99999"),
        (("Mine", "101.4.1.1.1", "", 10_001), "'101.4.1.1.1' is not valid"),
        (("Mine", "100.4.1.1.1", "", 10_001, True), "have no differential form"),
    ],
)
def test_classes_that_clash_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        genomes.register_class(*arguments)


def structure(name: str = "other", featurizer: int = 101, **fields) -> genomes.Structure:
    groups = genomes.operators.projections("CV")
    rows = {featurizer: genomes.Featurizer(groups)}
    given = {"groups": ("C", "V"), "sharing": {2: ("C",)}, "featurizers": rows, **fields}
    return genomes.Structure(name, SEMI_SEPARABLE, PER_CHANNEL, **given)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "low-rank"}, "'low-rank' exists already"),
        ({"featurizer": 100}, "featurizer 100 is one of 'moving average'"),
        ({"sharing": {6: ("C",)}}, "expected strategies 2 to 5"),
        ({"sharing": {2: ("B",)}}, r"expected names of \('C', 'V'\)"),
        ({"sharing": {2: ("C", "V")}}, "borrows some groups, and not all"),
        ({"sharing": {2: ("C",), 3: ("C",)}}, "two strategies borrow the same"),
        ({"groups": ("C", "B", "V")}, "each has the groups"),
    ],
)
def test_structures_that_contradict_themselves_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        genomes.register_structure(structure(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"cache": lambda liv_class: 0},
            "cache= fails \\(TypeError: .* takes 1 positional argument",
        ),
        ({"states": lambda *arguments: 1 / 0}, "states= fails \\(ZeroDivisionError"),
        ({"states": lambda *arguments: 2.5}, "states= gave 2.5, expected a whole number from 0"),
        ({"cache": lambda *arguments: -1}, "cache= gave -1"),
        ({"cache": lambda *arguments: None}, "cache= gave None"),
        ({"cache": 7}, "cache= fails \\(TypeError: .*callable"),
        ({"parameters": lambda width: width}, "parameters= fails \\(TypeError"),
    ],
)
def test_functions_that_do_not_count_are_refused_with_the_class(fields: dict, message: str) -> None:
    genomes.register_structure(structure(**fields))
    with pytest.raises(GenomeError, match=f"structure 'other': {message}") as caught:
        genomes.register_class("Mine", "101.4.1.1.1", "", 10_001)
    assert "\n" not in str(caught.value)


class Narrow(models.StructureModule):
    def forward(self, features, memory=None):
        return features["V"][0][..., :3]


class Forgetful(models.StructureModule):
    def forward(self, features, memory=None):
        return features["V"][0] if memory is None else memory.buffers["nothing"]


class Short(models.StructureModule):
    def forward(self, features, memory=None):
        return features["V"][0][:, :0]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Narrow, "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (Forgetful, "KeyError: 'nothing'"),
        (Short, "RuntimeError: The size of tensor a"),
        (lambda liv_class: None, "TypeError: .* takes 1 positional argument but 4 were given"),
        (lambda *arguments: None, "AttributeError"),
    ],
)
def test_a_module_that_fails_is_one_clear_error_of_train_and_generate(module, message: str) -> None:
    genomes.register_structure(structure())
    genomes.register_class("Mine", "101.4.1.1.1", "", 10_001)
    models.register_structure("other", module)
    genome = Genome.from_text("10001.1.1.1.1-9.1.1.1.1", "extended")
    with pytest.raises(GenomeError, match=f"structure 'other': its module fails .{message}") as e:
        models.decode_tried(genome, MODEL)
    assert "\n" not in str(e.value)


def test_a_try_leaves_the_model_as_it_would_be() -> None:
    genome, built = Genome.from_text(EMA, "extended"), []
    for make in (decode, models.decode_tried):
        torch.manual_seed(0)
        built.append((make(genome, MODEL), torch.rand(1)))
    (plain, after), (tried, after_a_try) = built
    assert tried.training and after == after_a_try
    pairs = zip(plain.parameters(), tried.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_structure_without_a_module_is_one_clear_error() -> None:
    genomes.register_structure(structure())
    genomes.register_class("Mine", "101.4.1.1.1", "", 10_001)
    with pytest.raises(GenomeError, match="'other' has no module: star.models.register_structure"):
        decode(Genome.from_text("10001.1.1.1.1", "extended"), ModelConfig())


def test_modules_for_no_structure_or_one_of_ours_are_refused() -> None:
    for name, message in (("nobody", "register it there first"), ("diagonal", "one of ours")):
        with pytest.raises(GenomeError, match=message):
            models.register_structure(name, models.StructureModule)
    group = genomes.FeatureGroup("C", "mine")
    rows = {101: genomes.Featurizer((group, genomes.FeatureGroup("V")))}
    forms = {"mine": lambda group, liv_class, model: 0}
    genomes.register_structure(structure(featurizers=rows, forms=forms))
    with pytest.raises(GenomeError, match="form 'mine' has no module"):
        models.register_structure("other", models.StructureModule)


def test_flops_of_a_structure_that_has_not_counted_its_products_are_refused() -> None:
    genome = Genome.from_text(EMA, "extended")
    with pytest.raises(GenomeError, match="'moving average': its multiply-adds.*Structure product"):
        genomes.flops_per_token(genome, MODEL)


def test_flops_of_a_form_that_has_not_counted_its_products_are_refused() -> None:
    group = genomes.FeatureGroup("C", "mine")
    rows = {101: genomes.Featurizer((group, genomes.FeatureGroup("V")))}
    forms = {"mine": lambda group, liv_class, model: 0}
    fields = {"featurizers": rows, "forms": forms, "products": lambda *arguments: 7}
    genomes.register_structure(structure(**fields))
    genomes.register_class("Mine", "101.4.1.1.1", "", 10_001)
    genome = Genome.from_text("10001.1.1.1.1", "extended")
    with pytest.raises(GenomeError, match=r"give its Structure form_products\['mine'\]"):
        genomes.flops_per_token(genome, MODEL)
