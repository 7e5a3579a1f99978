"""Bayesian optimisation: a Gaussian process of what is trained chooses among children of our own
variation operators.

`process` is the model, `acquisition` what it says of genomes, `guide` follows one search.
`star.search.algorithms.bayesian` makes the children. Needs the extra `bayes` (BoTorch), which is
imported where it is used.
"""
