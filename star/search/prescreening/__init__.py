"""Pre-screening: a surplus of children is ranked before training, and the best are trained.

`surrogate` predicts from genomes what was measured of others, `choice` picks from a surplus,
`prescreen` decides generation by generation whether a prediction deserves to, `finals` predicts the
end of a training that is under way.
"""
