"""The search space: the pymoo problem, depths, ids and seeds of genomes."""
