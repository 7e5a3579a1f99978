"""What decides the results of a search, from its settings: objectives, recipe, fingerprint of the
data, and what may disturb them on this machine."""

from star.base.settings import expect
from star.evaluation import Measured, Recipe
from star.evaluation.devices import on_device, with_devices
from star.evaluation.executors import Executor, TableConfig
from star.evaluation.executors.table import BACKBONE
from star.evaluation.objectives import NAMED, OBJECTIVES
from star.search.config import EvolveConfig


def make_recipe(config: EvolveConfig) -> tuple[Measured, Recipe]:
    """The objectives that are measured, and everything but the genome that decides a result.

    Raises `UserError` or `GenomeError` for values that cannot be used.
    """
    search = config.search
    limits = [name for name, limit in config.constraints.items() if limit is not None]
    also = (*search.also_measure, *(name for name in limits if name in NAMED))  # to be limited
    measured = Measured.of(search.objectives, config.objectives, also)
    measured.selected(search.objectives)
    settings = with_devices(measured, config.objectives, config.training)
    if settings != config.objectives:
        measured = Measured.of(search.objectives, settings, also)
    named = {*search.objectives, *search.also_measure, *limits}
    wanted = [name for name, o in OBJECTIVES.items() if o.optional and name in named]
    recipe = Recipe(
        config.model,
        config.cache,
        config.training,
        config.data,
        config.seed,
        (*measured.references.values(), *wanted),
        settings,
        config.evaluation,
    )
    recipe.check()
    measured.prepare()
    return measured, recipe


def device_notices(config: EvolveConfig, measured: Measured, recipe: Recipe) -> list[str]:
    """A line on objectives that depend on the device, where candidates disturb each other."""
    timed = [name for name in on_device(measured) if not measured.objectives[name].repeatable]
    if not timed or (at_once := config.executor.at_once(recipe)) == 1:
        return []
    return [
        f"{', '.join(timed)}: timed while {at_once} candidates are evaluated at once, so that "
        "others disturb it; executor.workers=1 gives quieter timings"
    ]


def read_fingerprint(config: EvolveConfig, recipe: Recipe, executor: Executor | None) -> str:
    """Fingerprint of the data behind the results.

    Raises `UserError` where the data do not suit the settings.
    """
    if executor is not None:  # its data are unknown here, so its name stands for them
        return f"{type(executor).__module__}.{type(executor).__qualname__}"
    _check_seeds(config)
    space, halving = config.search.space, config.search.halving
    genomes = {"depth": config.depth, "alphabet": space.alphabet, "classes": list(space.classes)}
    genomes |= {BACKBONE: True} if space.backbone_genes else {}
    config.executor.check(recipe)
    return config.executor.fingerprint(recipe, genomes, halving.steps(config.training.steps))


def _check_seeds(config: EvolveConfig) -> None:
    """Raise `UserError` for a replication with more seeds than a table has."""
    most = config.search.replication.most
    if most and isinstance(config.executor, TableConfig):
        seeds = len(config.executor.read().recipe["seeds"])
        expected = f"at most {seeds - 1}, since the table has {seeds} seeds"
        expect("search.replication.most", most, most < seeds, expected)
