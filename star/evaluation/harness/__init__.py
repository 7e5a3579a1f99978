"""lm-evaluation-harness: how well a trained model does the tasks that others are measured by.

`settings` is what is asked, `vocabulary` text and tokens, `model` our language model as the harness
wants one, `tasks` finds tasks, `running` runs them, `worker` does so in a process of its own,
`results` keeps what was found, `table` shows it. Neighbours: `star.evaluate` is the command, and
`star.evaluation.objectives.harness` the objective. Needs lm-eval, which `model`, `tasks` and
`running` import; the others do without.
"""

from .settings import PACKAGE as PACKAGE
from .settings import HarnessSetting as HarnessSetting
from .settings import lm_eval_version as lm_eval_version
