"""Names of devices in recipes."""

import pytest

from star.evaluation import Measured
from star.evaluation import devices as module
from star.evaluation.devices import on_device, other_device, with_devices
from star.evaluation.recipe import recipe_id
from star.training import TrainingConfig
from tests.evaluation.test_ledger import RECIPE

CPU = TrainingConfig(device="cpu")
LATENCY = ["decode_latency", "parameters"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "machine_name", lambda device: "this machine")


def content(device: str, **settings: object) -> dict:
    measured = Measured.of(LATENCY, {"decode_latency": {"device": device, **settings}})
    return RECIPE.content("f00d", measured.content())


def test_only_what_depends_on_the_device_gets_its_name() -> None:
    settings = {"decode_latency": {"context": 64}}
    measured = Measured.of(LATENCY, settings)
    assert on_device(measured) == ["decode_latency"]
    found = with_devices(measured, settings, CPU)
    assert found == {"decode_latency": {"context": 64, "device": "this machine"}}
    assert with_devices(Measured.of(["validation_loss", "footprint"]), {}, CPU) == {}


@pytest.mark.parametrize(("given", "found"), [("", "this machine"), ("H200", "H200")])
def test_a_named_device_stays(given: str, found: str) -> None:
    settings = {"decode_latency": {"device": given}}
    filled = with_devices(Measured.of(LATENCY, settings), settings, CPU)
    assert filled["decode_latency"]["device"] == found


def test_each_device_has_a_recipe_of_its_own() -> None:
    assert len({recipe_id(content(device)) for device in ("", "A", "B")}) == 3


def test_the_same_recipe_of_another_device_is_found() -> None:
    here, there = content("A"), content("B")
    expected = "decode_latency measured on B, and this search is on A"
    assert other_device(here, [there]) == expected
    assert other_device(here, [here, {**there, "rung": 40}]) == expected


def test_other_recipes_and_damaged_ones_are_no_matter() -> None:
    here, without = content("A"), RECIPE.content("f00d", {})
    for known in ([], [here], [{**here, "rung": 3}], [{}], [without], [content("B", context=64)]):
        assert other_device(here, known) == ""
    assert other_device(without, [content("B")]) == ""
