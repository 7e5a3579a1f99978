"""Hybrids of pretrained models: components opened from folders, the search for a mixture, and
attention replaced where it is not needed.

What a hybrid is and costs is said in `star.genomes.hybrids`, its model in `star.models.hybrid`.
"""
