"""Alphabets: restriction to some classes, and ids that never change."""

import numpy as np
import pytest

from star.genomes import (
    ALPHABETS,
    Genome,
    GenomeError,
    arrays,
    get_alphabet,
    valid_operators,
)

# Codes by id, as files of earlier searches hold them: ids from 100 on in the order in which classes
# were numbered then, with gaps for those that had a name.
NAMED = (
    "12123 22123 32123 42123 54111 64111 73111 83111 91142 "
    "12123d 22123d 32123d 42123d 54111d 64111d 73111d 83111d "
    "12113 32223 12133 12143 10.4.1.1.3"
)
ATTENTIONS = [f"{f}2{s}{n}3" for f in (1, 2, 3, 4) for s in (1, 2) for n in (1, 2, 3, 4)]
NUMBERED = [
    "91112",
    "91132",
    "91142",
    *ATTENTIONS,
    "73111",
    "83111",
    "54111",
    "64111",
    "10.4.1.1.3",
]


def test_a_restricted_alphabet_keeps_name_ids_and_order() -> None:
    star = ALPHABETS["star"]
    few = star.restricted(["GConv-1", "SA-1"])
    assert few.name == "star" and few.ids == (1, 7)
    assert all(few.by_id[number] == star.by_id[number] for number in few.ids)
    assert star.restricted([]) is star


def test_a_class_that_the_alphabet_lacks_is_named_with_those_it_has() -> None:
    with pytest.raises(
        GenomeError,
        match=r"class 'LinAttn' is unknown in alphabet star; available: SA-1, .*GConv-2-Diff$",
    ):
        ALPHABETS["star"].restricted(["SA-1", "LinAttn"])


def test_a_restricted_alphabet_is_the_same_space_for_the_genomes_that_it_has() -> None:
    few = ALPHABETS["star"].restricted(["SA-1", "Rec-1", "GConv-2"])
    genes = arrays.sample(200, 6, np.random.default_rng(0), few)
    assert set(np.unique(genes[:, :, 0])) == set(few.ids)
    for livs in genes.tolist()[:20]:
        assert Genome.from_genes(livs, few).id == Genome.from_genes(livs, "star").id


def test_ids_are_those_that_files_of_earlier_searches_hold() -> None:
    letters = get_alphabet("star+operators")
    expected = dict(enumerate(NAMED.split(), start=1))
    for place, code in enumerate(NUMBERED):
        plain = [(100 + 2 * place, code)] if code not in expected.values() else []
        differential = [(101 + 2 * place, code + "d")] if code[0] != "9" else []
        new = dict(plain + [pair for pair in differential if pair[1] not in expected.values()])
        expected |= new
    assert len(expected) == 77
    assert {number: letters.by_id[number].code for number in expected} == expected


def test_every_valid_operator_has_one_id_plain_and_one_differential() -> None:
    letters = get_alphabet("extended+operators")
    codes = [operator.code for operator in valid_operators()]
    codes += [o.code + "d" for o in valid_operators() if o.has_differential]
    assert sorted(c.code for c in letters.classes) == sorted(codes)
    assert len(letters.ids) == len(letters.classes)
