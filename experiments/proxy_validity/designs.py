"""The designs of the study: library, former fronts, and random ones of several families.

    python experiments/proxy_validity/designs.py

Writes designs.csv beside this file, once; the study reads it, so that a later sampler or library
changes nothing. Designs are in an order whose every prefix holds all families.
"""

from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from star.genomes import Genome, get_alphabet, load_genome
from star.genomes.sampling import random_genome

HERE = Path(__file__).parent
DEPTH, SEED = 8, 20261126
LIBRARY = ("transformer_pp", "striped_mamba", "gqa_transformer", "lfm2", "mamba", "hyena")
# Backbones that a search of 80 steps found best, in README and FACTS, by class names.
FORMER_FRONTS = (
    "GMemless GMemless GMemless GConv-1-Diff Rec-2 GMemless GMemless GMemless",
    "GMemless GConv-1-Diff GMemless GConv-1-Diff GConv-1-Diff GMemless Rec-1-Diff GMemless",
    "GMemless GMemless GMemless Rec-2 Rec-2 Rec-2 Rec-1-Diff GMemless",
    "GConv-1-Diff GConv-1-Diff GConv-1-Diff GConv-1-Diff GConv-1-Diff GMemless Rec-1-Diff GMemless",
    "GConv-1-Diff GMemless SA-3 GMemless GConv-1-Diff GMemless Rec-2 GMemless",
    "GMemless SA-3 GMemless GConv-1-Diff Rec-2 GMemless GMemless GMemless",
)
# What Jamba, Griffin, Based and OLMo-Hybrid do, at depth 8, in classes of the extended alphabet.
HAND_MADE = (
    "LinAttn GMemless LinAttn GMemless SA-3 GMemless LinAttn GMemless",
    "SA-2 GMemless SA-2 GMemless SA-2 GMemless SA-2 GMemless",
    "GConv-1 SA-1 GConv-1 GMemless GConv-1 SA-1 GConv-1 GMemless",
    "GatedDelta GMemless GatedDelta GMemless GatedDelta GMemless SA-1 GMemless",
    "GatedDelta GMemless GatedDelta GMemless GatedDelta GMemless GatedDelta GMemless",
    "SSD GMemless SSD GMemless SSD GMemless SSD GMemless",
)
ATTENTION = ("SA-1", "SA-2", "SA-3", "SA-4", "SA-1-Diff", "SA-2-Diff", "SA-3-Diff", "SA-4-Diff")
FREE = (
    *("Rec-1", "Rec-2", "Rec-1-Diff", "Rec-2-Diff", "GConv-1", "GConv-2"),
    *("GConv-1-Diff", "GConv-2-Diff", "GMemless"),
)
RANDOM = {  # classes that random designs of a family are made of, and how many there are
    "attention-rich": ((*ATTENTION, "GConv-1", "GMemless"), 10),
    "attention-free": (FREE, 10),
    "mixed": ((*ATTENTION, *FREE), 10),
}


def by_classes(names: str) -> Genome:
    """A genome without sharing, from class names of the extended alphabet."""
    alphabet = get_alphabet("extended")
    known = {liv_class.name: liv_class.id for liv_class in alphabet.classes}
    return Genome.from_genes([(known[name], 1, 1, 1, 1) for name in names.split()], alphabet)


def random_designs(classes: tuple[str, ...], count: int, rng: np.random.Generator) -> list[Genome]:
    """Different random genomes with attention where the family has it."""
    alphabet = get_alphabet("extended").restricted(list(classes))
    wanted: dict[str, Genome] = {}
    while len(wanted) < count:
        genome = random_genome(DEPTH, rng, alphabet)
        names = [liv_class.name for liv_class in genome.classes()]
        if "SA-1" not in classes or any(name in ATTENTION for name in names):
            wanted.setdefault(genome.to_text(), genome)
    return list(wanted.values())


def rows() -> Iterator[dict[str, object]]:
    """One row a design, families in turn."""
    rng = np.random.default_rng(SEED)
    named = {name: load_genome(name, DEPTH)[0].canonical() for name in LIBRARY}
    families: dict[str, list[tuple[str, Genome]]] = {
        "library": list(named.items()),
        "former front": [(f"front_{n}", by_classes(t)) for n, t in enumerate(FORMER_FRONTS)],
        "hand-made": [(f"hand_{n}", by_classes(t)) for n, t in enumerate(HAND_MADE)],
    }
    for family, (classes, count) in RANDOM.items():
        short = family.replace("attention-", "")
        drawn = random_designs(classes, count, rng)
        families[family] = [(f"{short}_{n}", genome) for n, genome in enumerate(drawn)]
    columns = ([(family, *one) for one in members] for family, members in families.items())
    for entry in filter(None, chain.from_iterable(zip_longest(*columns))):
        family, name, genome = entry
        names = [liv_class.name for liv_class in genome.classes()]
        yield {
            "design": name,
            "family": family,
            "alphabet": "extended",
            "genome": genome.to_text(),
            "classes": " ".join(names),
            "attention": sum(name.startswith("SA-") for name in names),
        }


if __name__ == "__main__":
    pd.DataFrame(rows()).to_csv(HERE / "designs.csv", index=False)
