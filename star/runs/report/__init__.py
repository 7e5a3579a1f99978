"""The report of a run: one page that works without a network, and figures for a paper.

`content` reads a run, `figures/` draws what is in it as Vega-Lite, `cards` one architecture, `page`
writes the file. `star/report.py` is the command. Nothing of a search is imported: a report is made
of what a run left behind.
"""
