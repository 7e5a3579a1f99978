"""Families of transformers that the installed one has."""

import pytest
import transformers

from star.models.hugging_face.family import Family
from star.models.hugging_face.native import FAMILIES

NAMED = {family.prefix: family for family in FAMILIES}


def family_here(prefix: str) -> Family:
    """The family whose classes begin so; the test is skipped where transformers lacks it."""
    family = NAMED[prefix]
    if family.class_of("Config") is None:
        pytest.skip(f"transformers {transformers.__version__} has no {family.name}")
    return family
