"""Hard limits and the quantities they are written as."""

from dataclasses import dataclass
from typing import Any

import pytest

from star.base.errors import UserError
from star.base.settings import parse_quantity
from star.evaluation import Context, Measured, Objective
from star.evaluation.constraints import Budget, read_limits
from tests.search.made_up import RECIPE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (5, 5),
        (1e6, 1e6),
        ("1e6", 1e6),
        ("4MB", 4e6),
        ("1.5M", 1.5e6),
        ("2 GiB", 2**31),
        ("64kB", 64e3),
        ("7B", 7),
        ("1MiB", 2**20),
        ("350e6", 350e6),
        ("350M", 350e6),
        ("64K", 64e3),
        ("1TB", 1e12),
    ],
)
def test_quantities_are_read(text: object, value: float) -> None:
    assert parse_quantity("key", text) == value


@pytest.mark.parametrize(
    "text", ["", "MB", "4 mb", "-3", "1e", "four", True, None, "4MB5", "1e999", "nan"]
)
def test_other_text_is_refused(text: object) -> None:
    with pytest.raises(
        UserError, match=r"^constraints.x=.*: expected a number, alone or with a unit"
    ):
        parse_quantity("constraints.x", text)


def test_a_limit_of_seconds_is_a_duration() -> None:
    @dataclass
    class Latency(Objective):
        name, unit = "latency", "seconds"

        def measure(self, context: Context) -> dict[str, float]:
            return {"latency": 1.0}

    assert read_limits({"latency": "1m30s"}, Measured({"latency": Latency()}, {})) == {
        "latency": 90
    }


def test_violations_name_value_and_limit() -> None:
    measured = Measured.of(())
    limits = read_limits({"parameters": 1e5, "cache_bytes": "4MB", "perplexity": None}, measured)
    assert limits == {"cache_bytes": 4e6, "parameters": 1e5}
    budget = Budget(limits, measured, RECIPE)
    assert budget.violated({"cache_bytes": 4e6, "parameters": 1e5}) == ""
    assert budget.violated({"cache_bytes": 5e6, "parameters": 2e5}) == (
        "parameters 200,000 above 100,000, cache_bytes 5,000,000 above 4,000,000"
    )
    assert budget.violated({}) == ""


def test_a_maximised_objective_has_a_least_value() -> None:
    measured = Measured.of(["tests.search.objectives:Variety"])
    budget = Budget(read_limits({"variety": 3}, measured), measured, RECIPE)
    assert budget.violated({"variety": 3}) == ""
    assert budget.violated({"variety": 2}) == "variety 2 below 3"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parameters": 0}, "constraints.parameters=0: expected a positive number"),
        (
            {"colour": 4},
            "constraints.colour: no such objective; measured are validation_loss, bits_per_byte, "
            "perplexity, repeat_loss, late_loss, parameters, cache_bytes "
            "(search.also_measure adds others)",
        ),
        ({"cache_bytes": "much"}, "constraints.cache_bytes=much: expected a number"),
    ],
)
def test_other_limits_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_limits(given, Measured.of(()))
    assert str(caught.value).startswith(message)
