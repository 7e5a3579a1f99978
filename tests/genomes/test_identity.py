"""Ids that no reader of a table takes for a number, and those of before."""

import hashlib
import io
import string

import pandas as pd

from star.genomes import current_id, former_id
from star.genomes.identity import content_id

CONTENTS = [f"{number}.1.1.1.1" for number in range(3000)]


def test_no_id_reads_as_a_number() -> None:
    ids = [content_id(content) for content in CONTENTS]
    assert {len(name) for name in ids} == {12}
    assert {name[0] for name in ids} == set("abcdef" + "ghijklmnop")
    column = pd.read_csv(io.StringIO("id\n" + "\n".join(ids)))["id"]
    assert list(column) == ids
    digests = [hashlib.sha256(content.encode()).hexdigest()[:12] for content in CONTENTS]
    assert any(set(digest) <= set(string.digits + "e") for digest in digests)  # as it was before


def test_ids_of_before_become_those_of_now() -> None:
    for content in CONTENTS:
        before = hashlib.sha256(content.encode()).hexdigest()[:12]
        assert current_id(before) == content_id(content) == current_id(content_id(content))
        assert former_id(content_id(content)) == before
    assert current_id("") == "" and current_id("3f1e60c3b2a4") == "jf1e60c3b2a4"
