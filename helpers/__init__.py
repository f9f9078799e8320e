"""Helpers of the transfer-learning course: tasks, backbones, strategies, training.

The names below are all that the lessons use. Each is imported when it is first asked for, so that `import helpers`
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from helpers.errors import HelpersError, HelpersWarning

_HOMES = {
    "helpers.data.loaders": ("make_loaders",),
    "helpers.data.preprocessing": ("Preprocessing",),
    "helpers.data.load": ("load_task",),
    "helpers.data.tasks": ("Split", "Task"),
    "transfer_doctor": ("diagnose",),
    "helpers.models.backbones": ("load_backbone",),
    "helpers.models.heads": ("replace_head",),
    "helpers.models.prediction": ("predict",),
    "helpers.models.saved_models": ("load_model",),
    "helpers.models.stages": ("freeze", "head", "parameter_groups", "set_trainable", "stages", "unfreeze"),
    "helpers.lessons.claims": ("ClaimError", "claim"),
    "helpers.lessons.exercises": ("check", "hint"),
    "helpers.measure": ("compare", "interval", "over_seeds"),
    "helpers.lessons.plots": ("show",),
    "helpers.lessons.quiz": ("quiz",),
    "helpers.lessons.world": ("world",),
    "helpers.training.evaluation": ("evaluate",),
    "helpers.training.fit": ("fit",),
    "helpers.training.loop": ("Settings", "train"),
    "helpers.training.strategies": ("STRATEGIES", "Phase", "make_strategy"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["HelpersError", "HelpersWarning", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
