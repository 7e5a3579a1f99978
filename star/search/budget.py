"""The budget of a search: which candidates exceed a constraint, before and after their training."""

from dataclasses import dataclass, replace

from star.evaluation.constraints import ConstraintsConfig, violated
from star.evaluation.evaluate import INFEASIBLE, OVER_BUDGET, Evaluation, infeasible
from star.evaluation.objectives import CacheSetting, static_metrics
from star.genomes import Genome, ModelConfig


@dataclass(frozen=True)
class Budget:
    """The largest value of each objective, for models of these sizes."""

    constraints: ConstraintsConfig
    model: ModelConfig
    cache: CacheSetting

    def refuse(self, genome: Genome) -> Evaluation | None:
        """The infeasible evaluation of a genome whose static objectives decide that it need not be
        trained."""
        limits = self.constraints.largest()
        if not limits:
            return None
        metrics = static_metrics(genome, self.model, self.cache)
        reason = violated(metrics, limits)
        return infeasible(OVER_BUDGET, reason, metrics) if reason else None

    def judge(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation itself, or an infeasible one with its metrics when a trained objective is
        over budget."""
        reason = (
            violated(evaluation.metrics, self.constraints.largest()) if evaluation.feasible else ""
        )
        return (
            replace(evaluation, status=INFEASIBLE, reason=f"{OVER_BUDGET}: {reason}")
            if reason
            else evaluation
        )
