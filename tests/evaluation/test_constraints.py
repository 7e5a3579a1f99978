"""Hard limits and the quantities they are written as."""

import pytest

from star.base.errors import UserError
from star.evaluation.constraints import ConstraintsConfig, parse_quantity, violated


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
    ],
)
def test_quantities_are_read(text: object, value: float) -> None:
    assert parse_quantity("key", text) == value


@pytest.mark.parametrize("text", ["", "MB", "4 mb", "-3", "1e", "four", True, None, "4MB5"])
def test_other_text_is_refused(text: object) -> None:
    with pytest.raises(
        UserError, match=r"^constraints.x=.*: expected a number, alone or with a unit"
    ):
        parse_quantity("constraints.x", text)


def test_violations_name_value_and_limit() -> None:
    limits = ConstraintsConfig(cache_bytes="4MB", parameters=1e5).largest()
    assert limits == {"cache_bytes": 4e6, "parameters": 1e5}
    assert violated({"cache_bytes": 4e6, "parameters": 1e5}, limits) == ""
    assert violated({"cache_bytes": 5e6, "parameters": 2e5}, limits) == (
        "parameters 200,000 above 100,000, cache_bytes 5e+06 above 4e+06"
    )
    assert violated({}, limits) == ""
    with pytest.raises(UserError, match="constraints.parameters=0: expected a positive number"):
        ConstraintsConfig(parameters=0).largest()
