"""Devices in recipes: objectives that depend on one carry its name, so that numbers of two devices
are never taken for each other's, nor put side by side in one ledger."""

from collections.abc import Iterable, Mapping
from typing import Any

from star.evaluation.measuring import machine_name
from star.evaluation.objectives import Measured
from star.training import TrainingConfig

DEVICE = "device"  # the setting of an objective that depends on one

Settings = Mapping[str, Mapping[str, Any]]


def on_device(measured: Measured) -> list[str]:
    """Names of the objectives that depend on the device."""
    return [name for name, objective in measured.objectives.items() if objective.on_device]


def with_devices(measured: Measured, settings: Settings, training: TrainingConfig) -> Settings:
    """Settings of objectives, those that depend on the device with the name of this one's.

    Args:
        measured: the objectives.
        settings: by name of the objective; a device that is named there stays.
        training: whose device it is.
    """
    named = on_device(measured)
    if not named:
        return settings
    here = {DEVICE: machine_name(training.torch_device())}
    given = {name: _without_empty(settings.get(name, {})) for name in named}
    return {**settings, **{name: {**here, **given[name]} for name in named}}


def _without_empty(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != DEVICE or value}


def other_device(content: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> str:
    """What a ledger holds of the same recipe on another device, in words; empty for nothing.

    Args:
        content: of the recipe.
        known: contents of the recipes in the ledger; those of rungs count too.
    """
    devices = _devices(content)
    for other in known:
        there = _devices(other)
        if there == devices or _anywhere(other) != _anywhere(content):
            continue
        name = next(name for name in devices if there.get(name) != devices[name])
        return f"{name} measured on {there.get(name)}, and this search is on {devices[name]}"
    return ""


def _devices(content: Mapping[str, Any]) -> dict[str, str]:
    objectives = content.get("objectives", {})
    return {name: given[DEVICE] for name, given in objectives.items() if DEVICE in given}


def _anywhere(content: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without its rung and its devices."""
    objectives = {
        name: {key: value for key, value in given.items() if key != DEVICE}
        for name, given in content.get("objectives", {}).items()
    }
    return {**content, "rung": None, "objectives": objectives}
