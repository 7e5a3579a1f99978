"""Hybrids: models that are made of others.

`linearise` puts recurrences in the place of a checkpoint's attention. Neighbours: `star.models`
decodes genomes, `star.training` trains, `star.composing` grows designs.
"""
