"""The suite of structures; tests/models runs what it is made of on every class of ours."""

import pytest

from star.genomes import Alphabet, ParameterCount, get_alphabet
from star.testing import structures
from star.testing.structures import StructureSuite


class TestTwo(StructureSuite):
    def make(self) -> Alphabet:
        return get_alphabet("star").restricted(["GMemless", "GConv-1"])


def test_a_wrong_count_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ParameterCount(0, 0, ())
    monkeypatch.setattr(structures, "parameter_count", lambda genome, model: nothing)
    with pytest.raises(AssertionError, match="parameters were built, 0 counted"):
        TestTwo().test_every_class_is_what_its_genome_says()
