"""Two worlds, one line apart: drawn images with the embedded backbone, or real photos with ImageNet weights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data.load import load_task
from helpers.data.tasks import Task
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone

if TYPE_CHECKING:
    from torch import nn

NAMES = ("embedded", "real")
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"


@dataclass(frozen=True)
class World:
    """Where a lesson takes its images and its pretrained network from.

    Attributes:
        name: `"embedded"` or `"real"`.
    """

    name: str

    @property
    def real(self) -> bool:
        """Whether images are photos of others, which lessons do not store."""
        return self.name == "real"

    @property
    def backbone_name(self) -> str:
        """What `load_backbone` is asked for."""
        return "mobilenet_v2" if self.real else "embedded"

    def task(self, classes: int = 4, **drawn: int) -> Task:
        """Ants and bees in the real world; so many drawn species of flowers in the embedded one.

        Args:
            classes: how many species.
            drawn: more for `load_task`, for instance `train_per_class`.
        """
        if self.real:
            return load_task(REAL / "ants-bees" if (REAL / "ants-bees").is_dir() else "ants-bees")
        return load_task("flowers", classes=classes, **drawn)

    def backbone(self, weights: str | None = "DEFAULT") -> nn.Module:
        """The pretrained network, its own head still on; `weights=None` for random ones."""
        if self.real and weights is not None:
            found = sorted((REAL / "weights").glob("mobilenet_v2*.pth"))
            weights = str(found[0]) if found else weights
        return load_backbone(self.backbone_name, weights=weights)


def world(name: str | None = None) -> World:
    """The world of a lesson.

    Args:
        name: `"embedded"` or `"real"`; default: what the environment variable `WORLD` says, else the embedded one.

    Raises:
        HelpersError: for any other name.
    """
    name = name or os.environ.get("WORLD") or "embedded"
    if name not in NAMES:
        raise HelpersError(f"there is no world {name!r}; choose one of {', '.join(NAMES)}")
    return World(name)
