"""Hard limits and the quantities they are written as."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from star.base.errors import UserError
from star.base.settings import parse_quantity
from star.evaluation import OBJECTIVES, Context, Measured, Objective
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


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *(("decode_latency", text, 5) for text in (5, "5", "5ms", "0.005s", "5000us")),
        ("decode_latency", "1s500ms", 1500),
        ("cache_bytes", "4M", 4e6),
        ("cache_bytes", "4MiB", 2**22),
        ("parameters", "350k", 350e3),
        ("flops_per_token", "2M", 2e6),
        ("prefill_throughput", "3k", 3e3),
        ("recall_error", 0.9, 0.9),
        ("recall_error", 1, 1),
        ("mad_score", 1, 1),
        ("perplexity", 1, 1),
    ],
)
def test_a_limit_is_in_the_unit_of_its_objective(name: str, text: object, value: float) -> None:
    measured = Measured.of((), also=[] if name in OBJECTIVES else [name])
    assert read_limits({name: text}, measured)[name] == pytest.approx(value)


def test_a_unit_of_a_users_own_is_converted_to() -> None:
    class Memory(Objective):
        name, unit = "memory", "MB"

        def measure(self, context: Context) -> dict[str, float]:
            return {"memory": 1.0}

    measured = Measured({"memory": Memory()}, {})
    for text, value in (("3", 3), ("3MB", 3), ("2GB", 2000), ("5k", 5000)):
        assert read_limits({"memory": text}, measured) == {"memory": value}


UNIT = "expected a number, alone or with a unit of k, K, M, G, T"
TIME = "expected a positive number of ms, or a duration such as 1.5ms or 2s"
RECALL = "expected above 0 and at most 1, since it is 0 at best and 1 at worst"
SCORE = "expected above 0 and at most 1, since it is 1 at best and 0 at worst"
CANNOT_BE = [
    ("cache_bytes", "5s", f"{UNIT}, B, kB, KB, MB, GB, TB, KiB, MiB, GiB, TiB, such as 4MB"),
    ("cache_bytes", "5ms", UNIT),
    ("parameters", "5MB", f"{UNIT}, such as 4M"),
    ("flops_per_token", "7B", f"{UNIT}, such as 4M"),
    ("prefill_throughput", "5s", f"{UNIT}, such as 4M"),
    ("decode_latency", "5MB", TIME),
    ("decode_latency", "5k", TIME),
    ("decode_latency", "0", TIME),
    *(("recall_error", text, RECALL) for text in ("2", "1.01", "0")),
    *(("mad_score", text, SCORE) for text in ("60", "1.01", "0")),
    ("perplexity", "0.5", "expected at least 1, since it is 1 at best"),
    ("validation_loss", "0", "expected a positive number"),
]


@pytest.mark.parametrize(("name", "text", "expected"), CANNOT_BE)
def test_limits_of_another_kind_and_those_that_no_value_reaches_are_refused(
    name: str, text: str, expected: str
) -> None:
    measured = Measured.of((), also=[] if name in OBJECTIVES else [name])
    with pytest.raises(UserError) as caught:
        read_limits({name: text}, measured)
    message = str(caught.value)
    assert message.startswith(f"constraints.{name}={text}: {expected}") and "\n" not in message


@pytest.mark.parametrize(("name", "text", "expected"), CANNOT_BE[5:11:5])
def test_the_command_says_so_in_one_line(
    name: str, text: str, expected: str, command: Callable[..., Any]
) -> None:
    result = command("evolve", "+experiment=smoke", "scale=cpu", f"constraints.{name}={text}")
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert f"error: constraints.{name}={text}: {expected}" in result.stderr


def test_violations_name_value_and_limit() -> None:
    measured = Measured.of(())
    given = {"parameters": 1e5, "cache_bytes": "4MB", "perplexity": None, "recall_error": None}
    limits = read_limits(given, measured)
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
        ({"colour": None}, "constraints.colour: no such objective"),
        ({"cache_bytes": "much"}, "constraints.cache_bytes=much: expected a number"),
    ],
)
def test_other_limits_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_limits(given, Measured.of(()))
    assert str(caught.value).startswith(message)
