"""Ids of genomes as text: hashes that no reader of a table takes for a number.

Until version 0.1.0 an id was 12 hexadecimal digits, of which one in 170 reads as a number:
`123456789012`, or `12e4567890ab` without its letters. A first digit 0 to 9 is now written g to p;
files of before hold the former ids, and their readers turn them into those of now.
"""

import hashlib

LENGTH = 12
_DIGITS, _LETTERS = "0123456789", "ghijklmnop"
_CURRENT, _FORMER = str.maketrans(_DIGITS, _LETTERS), str.maketrans(_LETTERS, _DIGITS)


def content_id(content: str) -> str:
    """Id of what a text describes: 12 digits of its SHA-256, the first one a letter."""
    return current_id(hashlib.sha256(content.encode()).hexdigest()[:LENGTH])


def current_id(genome_id: str) -> str:
    """The id of now, `jf1e60c3b2a4`, for one of before, `3f1e60c3b2a4`; one of now is itself."""
    return genome_id[:1].translate(_CURRENT) + genome_id[1:]


def former_id(genome_id: str) -> str:
    """The id of before for one of now."""
    return genome_id[:1].translate(_FORMER) + genome_id[1:]
