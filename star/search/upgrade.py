"""Settings of a run folder that an earlier version wrote, brought to the keys of now."""

from dataclasses import asdict, replace
from typing import Any

from star.base.files import writing
from star.base.reading import expanded
from star.genomes import CacheSetting, with_state_dtype
from star.runs.provenance import CONFIGURATION, read_upgraded
from star.search.config import MOVED, EvolveConfig

# Values of before the algorithm's own arguments were grouped; each algorithm has them as defaults.
_DEFAULTS = {"tournament_size": 2, "elitism": 2, "scalarisation": "chebyshev", "weights": []}
# Which algorithms had them; the others took no notice.
_USED_BY = {
    "elitism": ("Firefly",),
    "scalarisation": ("Firefly", "ScalarisedGA"),
    "weights": ("Firefly", "ScalarisedGA"),
}
_TARGETS = {
    "star.search.firefly.Firefly": "star.search.algorithms.firefly.Firefly",
    "star.search.scalarisation.ScalarisedGA": "star.search.algorithms.scalarised.ScalarisedGA",
    "star.search.random_search.RandomSearch": "star.search.algorithms.random.RandomSearch",
}
_GONE = ("evaluator", "table")  # the data's fingerprint tells a table


def upgrade_settings(there: dict[str, Any]) -> dict[str, Any]:
    """Settings with today's keys; those that did not exist have their defaults.

    Anything but the settings of a search is returned as it is.
    """
    if "search" not in there or "space" in there["search"]:
        return _with_defaults(there) if "search" in there else there
    upgraded = {**there, "search": dict(there["search"])}
    search = upgraded["search"]
    for key in _GONE:
        search.pop(key, None)
    for group, keys in MOVED.items():
        moved = {key: search.pop(key) for key in keys if key in search}
        if group == "algorithm":
            moved = {key: value for key, value in moved.items() if _acted(key, value, search)}
        search[group] = {**search.get(group, {}), **moved}
    target = search["algorithm"].get("_target_")
    search["algorithm"]["_target_"] = _TARGETS.get(target, target)
    for key in ("workers", "workers_per_gpu", "threads_per_worker"):
        upgraded.pop(key, None)  # of the executor, which may differ
    return _with_defaults(upgraded)


def _acted(key: str, value: Any, search: dict[str, Any]) -> bool:
    """Whether an argument of the algorithm was another than its default, and was used by it."""
    algorithm = str(search["algorithm"].get("_target_")).rpartition(".")[2]
    return value != _DEFAULTS[key] and algorithm in _USED_BY.get(key, (algorithm,))


def _with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    cache = {"cache": with_state_dtype(settings["cache"])} if "cache" in settings else {}
    return _merged(asdict(EvolveConfig()), {**settings, **cache})


def _merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Given values over defaults, key by key; open dictionaries are taken as they are."""
    merged = {**defaults, **given}
    for key, value in defaults.items():
        if isinstance(value, dict) and isinstance(given.get(key), dict) and key != "algorithm":
            merged[key] = _merged(value, given[key])
    return merged


def count_as_before(config: EvolveConfig) -> tuple[EvolveConfig, list[str]]:
    """The settings with the `cache.state_dtype` of the run folder, unless another is asked for.

    A run counts its cache to the end as it began to; the notice says so where that is not as usual.
    """
    usual = CacheSetting.state_dtype
    folder = expanded(config.run_dir) if config.run_dir else None
    if config.cache.state_dtype != usual or folder is None:
        return config, []
    with writing(folder):  # as it will be
        if not (folder / CONFIGURATION).is_file():
            return config, []
    there = read_upgraded(folder, upgrade_settings).get("cache")
    kept = there.get("state_dtype", usual) if isinstance(there, dict) else usual
    if kept == usual:
        return config, []
    notice = f"cache.state_dtype={kept}: this run began to count its cache so, and goes on to"
    return replace(config, cache=replace(config.cache, state_dtype=kept)), [notice]
