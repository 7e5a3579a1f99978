"""Alphabets: restriction to some classes."""

import numpy as np
import pytest

from star.genomes import ALPHABETS, Genome, GenomeError, arrays


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
