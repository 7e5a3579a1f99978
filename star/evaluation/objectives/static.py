"""Static objectives: exact costs that follow from the genome alone."""

from collections.abc import Mapping

from star.evaluation.objectives.base import STATIC, Context, Objective
from star.genomes import (
    cache_bytes,
    flops_per_token,
    footprint_bytes,
    parameter_count,
    state_bytes,
)


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
        return format_bytes(value)


class StateBytes(CacheBytes):
    """Bytes of the generation cache that do not grow with the context: running states, the last
    inputs of short convolutions, keys and values of a window."""

    name, unit, label = "state_bytes", "bytes", "state"

    def measure(self, context: Context) -> Mapping[str, int]:
        """At the width that costs are counted at."""
        recipe = context.recipe
        return {self.name: state_bytes(context.genome, recipe.model, recipe.cache)}


class Footprint(CacheBytes):
    """Bytes that generation keeps: all weights in the cache's dtype, and the cache of the batch."""

    name, unit, label = "footprint", "bytes", ""

    def measure(self, context: Context) -> Mapping[str, int]:
        """At the width that costs are counted at."""
        recipe = context.recipe
        return {self.name: footprint_bytes(context.genome, recipe.model, recipe.cache)}


class FlopsPerToken(Objective):
    """Floating-point operations for the last token of the recipe's context, head included
    (`star.genomes.flops` has the rule)."""

    name, unit, label, cost = "flops_per_token", "FLOPs", "FLOPs/token", STATIC

    def measure(self, context: Context) -> Mapping[str, int]:
        """At the width that costs are counted at."""
        recipe = context.recipe
        found = flops_per_token(context.genome, recipe.model, recipe.cache.context)
        return {self.name: found}

    def format(self, value: float) -> str:
        """In millions, or in thousands below one."""
        return f"{value / 1e6:,.1f}M" if value >= 1e6 else f"{value / 1e3:,.1f}k"


def format_bytes(value: float) -> str:
    """In kilobytes, or in bytes below one."""
    return f"{value / 1e3:,.1f}kB" if value >= 1e3 else f"{value:,.0f}B"
