"""Models of Hugging Face `transformers` and ours: one file a family.

Each `*_weights` function maps the parameters of one module of theirs, all of them, to the names of
a LIV's state dict without its norm. They are views, through which weights go both ways. Files of
families import no `transformers`: modules and configurations of theirs are taken as they are.
`family` says what a family is, `native` has all and makes models of theirs of ours and the other
way round; `causal_lm` is a class of theirs for any genome.

Where ours differs on purpose
-----------------------------

- DiffLlama pairs heads h and h + H/2, ours the halves of one head's channels (`halves_to_pairs`);
  its lambda counts layers, ours pairs of LIVs; its head-wise norm has the model's epsilon, ours
  1e-5.
- Head, attention, recurrent and feed-forward widths of theirs are any; ours follow from the model's
  width unless they are given (`ModelConfig`).
- RMSNorm's epsilon and the rotations' base are set by model; ours are `norm_eps` and `rope_base`,
  one value for both attention and norms of all layers.
- Nemotron-H raises small step sizes to `time_step_min`, ours are as they are.
"""
