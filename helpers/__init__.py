"""Helpers of the transfer-learning course: tasks, backbones, strategies, training.

The names below are all that the lessons use. Each is imported when it is first asked for, so that `import helpers`
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from helpers.errors import HelpersError, HelpersWarning

_HOMES = {
    "data.loaders": ("make_loaders",),
    "data.recipes": ("Recipe",),
    "data.load": ("load_task",),
    "data.tasks": ("Split", "Task"),
    "doctor": ("diagnose",),
    "models.backbones": ("load_backbone",),
    "models.heads": ("replace_head",),
    "models.prediction": ("predict",),
    "models.saved_models": ("load_model",),
    "models.stages": ("freeze", "head", "parameter_groups", "set_trainable", "stages", "unfreeze"),
    "teaching.claims": ("ClaimError", "claim"),
    "teaching.exercises": ("check", "hint"),
    "teaching.measure": ("compare", "interval", "over_seeds"),
    "teaching.plots": ("show",),
    "teaching.quiz": ("quiz",),
    "teaching.world": ("world",),
    "training.evaluation": ("evaluate",),
    "training.fit": ("fit",),
    "training.strategies": ("STRATEGIES", "Phase", "make_strategy"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["HelpersError", "HelpersWarning", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    value = getattr(import_module(f"helpers.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
