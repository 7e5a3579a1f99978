"""Weights of Hugging Face `transformers` modules as weights of ours: one file a family.

Each `*_weights` function maps the parameters of one module of theirs, all of them, to the names of
a LIV's state dict without its norm; each `copy_*` function copies a whole model of theirs into a
decoded one. Nothing here imports `transformers`: modules of theirs are taken as they are.

Where ours differs on purpose
-----------------------------

- LFM2 has RMSNorms on each head of queries and keys, ours has none.
- DiffLlama pairs heads h and h + H/2, ours the halves of one head's channels (`halves_to_pairs`);
  its lambda counts layers, ours pairs of LIVs; its head-wise norm has the model's epsilon, ours
  1e-5.
- Mamba's and Mamba-2's inner width is twice the model width by default, ours the model width
  (`expand=1`).
- Their feed-forward layers have any width, ours 8/3 of the model width, rounded up to 8.
- RMSNorm's epsilon and the rotations' base are set by model; ours are `norm_eps` and `rope_base`,
  one value for both attention and norms of all layers.
"""
