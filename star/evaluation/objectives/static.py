"""Static objectives: exact costs that follow from the genome alone."""

from collections.abc import Mapping

from star.evaluation.objectives.base import STATIC, Context, Objective
from star.genomes import cache_bytes, parameter_count


class Parameters(Objective):
    """Non-embedding parameters, every shared tensor once."""

    name, unit, label, cost = "parameters", "parameters", "params", STATIC

    def measure(self, context: Context) -> Mapping[str, int]:
        """At the width that costs are counted at."""
        return {self.name: parameter_count(context.genome, context.recipe.model).non_embedding}

    def format(self, value: float) -> str:
        """In thousands."""
        return f"{value / 1e3:,.1f}k"


class CacheBytes(Objective):
    """Bytes of generation cache at the recipe's context, batch and dtype."""

    name, unit, label, cost = "cache_bytes", "bytes", "cache", STATIC

    def measure(self, context: Context) -> Mapping[str, int]:
        """At the width that costs are counted at."""
        recipe = context.recipe
        return {self.name: cache_bytes(context.genome, recipe.model, recipe.cache)}

    def format(self, value: float) -> str:
        """In kilobytes, or in bytes below one."""
        return f"{value / 1e3:,.1f}kB" if value >= 1e3 else f"{value:,.0f}B"
