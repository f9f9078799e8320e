"""Two worlds, one line apart: drawn images with the embedded backbone, or real photos with ImageNet weights."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import nn

from helpers.data.load import load_task
from helpers.data.tasks import Task
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone

BACKBONES = {"embedded": "embedded", "real": "efficientnet_lite0"}


@dataclass(frozen=True)
class World:
    """Where a lesson takes its images and its pretrained network from.

    Attributes:
        name: `"embedded"` or `"real"`.
    """

    name: str

    @property
    def real(self) -> bool:
        """Whether images are other people's photos, which lessons do not store."""
        return self.name == "real"

    def task(self, classes: int = 4, **drawn: int) -> Task:
        """Ants and bees in the real world, species of drawn flowers in the embedded one.

        Args:
            classes: how many species to draw.
            drawn: more for `load_task`, for instance `train_per_class`.
        """
        return load_task("ants-bees") if self.real else load_task("flowers", classes=classes, **drawn)

    def backbone(self, weights: str | None = "DEFAULT") -> nn.Module:
        """The pretrained network with its own head; `weights=None` for random weights.

        In the real world it takes images of 80 px, not 224, so that a lesson runs in a minute or two.
        """
        model = load_backbone(BACKBONES[self.name], weights=weights)
        if self.real:
            model.preprocessing = model.preprocessing.with_size(80)
        return model


_chosen = World("embedded")


def world(name: str | None = None) -> World:
    """Choose the world of a lesson.

    Args:
        name: `"embedded"` or `"real"`; default: what the environment variable `WORLD` says, else the embedded one.

    Raises:
        HelpersError: for any other name.
    """
    global _chosen
    name = name or os.environ.get("WORLD") or "embedded"
    if name not in BACKBONES:
        raise HelpersError(f"there is no world {name!r}; choose one of {', '.join(BACKBONES)}")
    _chosen = World(name)
    return _chosen


def current() -> World:
    """The world that was chosen last; the embedded one at first."""
    return _chosen
