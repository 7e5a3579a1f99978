"""Search: the pymoo problem, variation operators, the generation loop, and what a run leaves
behind.

Knows genomes and evaluations only; `star.evolve` connects it with the workers that train.
"""
