"""Helpers of the transfer-learning course: tasks, backbones, strategies, training.

The names below are all that the lessons use. Each is imported when it is first asked for, so that `import helpers`
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from helpers.errors import HelpersError, HelpersWarning

_HOMES = {
    "backbones": ("load_backbone",),
    "doctor": ("diagnose",),
    "evaluation": ("evaluate",),
    "heads": ("replace_head",),
    "loaders": ("make_loaders",),
    "prediction": ("predict",),
    "recipes": ("Recipe",),
    "saved_models": ("load_model",),
    "stages": ("freeze", "head", "parameter_groups", "set_trainable", "unfreeze"),
    "strategies": ("STRATEGIES", "Phase", "make_strategy"),
    "tasks": ("Split", "Task", "load_task"),
    "training": ("fit",),
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
