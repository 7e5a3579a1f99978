"""Composing large designs of small ones: aggregation and extrapolation (Composer, arXiv
2510.00379).

`aggregate` makes one design of the best of a search, `extrapolate` grows a design by stacking or
stretching, `sizes` finds the width of a wanted size. Neighbours: `star.search` finds the small
designs, `star.train` trains the large ones.
"""
