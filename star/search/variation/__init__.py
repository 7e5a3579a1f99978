"""Variation of genomes as pymoo operators, on whole populations, and the history of what it did."""
