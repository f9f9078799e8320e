"""Transfer learning for images: tasks, pretrained backbones, strategies, one training loop.

Each name below is imported when it is first used, so `import helpers` takes no time. The core is meant to be read,
front to back; a module needs only those before it and a few tools:

    data      tasks, load, preprocessing, loaders
    models    stages, heads, backbones
    training  strategies, optim, evaluation, history, loop, features, fit

Everything else is one room further in: photo files (`data.photos`), files of weights (`models.weights_files`),
checkpoints and processes (`training.runs`), the command line (`commands`).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from helpers.errors import HelpersError, HelpersWarning

# OpenMP's waiting threads spin; two trainings on the same cores would then slow each other down tenfold and more. Its
# library reads this when PyTorch is imported, so `helpers` has to come first.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_HOMES = {
    "helpers.data.loaders": ("make_loaders",),
    "helpers.data.preprocessing": ("Preprocessing",),
    "helpers.data.load": ("load_task",),
    "helpers.data.tasks": ("Split", "Task"),
    "transfer_doctor": ("diagnose", "watch"),
    "helpers.models.backbones": ("load_backbone",),
    "helpers.models.heads": ("replace_head",),
    "helpers.models.prediction": ("predict",),
    "helpers.models.saved_models": ("load_model",),
    "helpers.models.stages": ("freeze", "head", "parameter_groups", "set_trainable", "stages", "unfreeze"),
    "helpers.measure": ("compare", "interval"),
    "helpers.training.evaluation": ("evaluate",),
    "helpers.training.fit": ("fit",),
    "helpers.training.loop": ("Settings", "train"),
    "helpers.training.lr_finder": ("find_lr",),
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
