"""Linearising: the attention that matters least is replaced by a recurrence, at a budget.

After FlashMorph (arXiv 2606.30562): beside each attention of a trained checkpoint stands a
recurrent branch; the branches learn to give what the attention gives (`branches`, `stages`), gates
between the two learn on recall which attention is needed (`gates`, `recall`), the budget decides
how much of it stays (`plan`), and the new model is distilled from the old one. `linearisation` runs
it all in a folder, so that an interrupted one goes on; `star.linearise` is the command.
"""

from star.hybrids.linearise.config import LineariseConfig as LineariseConfig
from star.hybrids.linearise.linearisation import Linearisation as Linearisation
from star.hybrids.linearise.plan import Plan as Plan
from star.hybrids.linearise.plan import Unit as Unit
