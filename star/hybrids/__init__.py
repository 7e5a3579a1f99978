"""Hybrids of pretrained models: components opened from folders, the search for a mixture, and
attention replaced where it is not needed (`linearise`).

What a hybrid is and costs is said in `star.genomes.hybrids`, its model in `star.models.hybrid`.

`config` has the settings of `star.hybridize`, `opening` its components, `stages` what it does one
after the other: `search` for a mixture in one of the parametrisations of `mixtures`, at the `costs`
of its components, on `text` of its own, or by `programming`; `discretise` makes letters of it.
"""
