"""Numbers in the documentation are those that the code gives."""

import re
from pathlib import Path

import torch

from star.genomes import CacheSetting, ModelConfig, cache_bytes, library_names, load_genome
from star.genomes.model_config import head_width
from star.models import Cache, decode

ROOT = Path(__file__).parents[1]
DEPTH, CONTEXT, MODEL = 24, 4096, ModelConfig(width=768)
BYTES = 2


def naive_bytes(mixers: int) -> int:
    heads = MODEL.width // head_width(MODEL.width)
    return 2 * mixers * heads * head_width(MODEL.width) * CONTEXT * BYTES


def test_the_cache_table_of_the_library_designs_is_true() -> None:
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|$", text, re.MULTILINE
    )
    assert [row[0] for row in rows] == library_names()
    for name, *numbers in rows:
        genome = load_genome(name, DEPTH)[0]
        predicted = cache_bytes(genome, MODEL, CacheSetting(CONTEXT, 1, "bfloat16"))
        with torch.device("meta"):
            allocated = Cache.allocate(decode(genome, MODEL), 1, CONTEXT, torch.bfloat16).nbytes
        naive = naive_bytes(sum(liv_class.name != "GMemless" for liv_class in genome.classes()))
        assert [int(number.replace(",", "")) for number in numbers[:3]] == [
            predicted,
            allocated,
            naive,
        ]
        assert float(numbers[3]) == round(naive / predicted, 1)
