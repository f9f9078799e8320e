"""From the options of a command to what training needs: task, model, preprocessing, loaders, phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import HelpersError
from helpers.training.strategies import Phase, make_strategy

if TYPE_CHECKING:
    from torch import nn

    from helpers.data.loaders import Loaders
    from helpers.data.tasks import Task
    from helpers.training.loop import Settings


@dataclass(frozen=True)
class Options:
    """What a training run was asked to do; kept in its folder, so that the run can be looked at again."""

    data: str
    root: str | None
    backbone: str
    weights: str | None
    strategy: str
    epochs: int | None
    lr: float | None
    batch_size: int
    image_size: int | None
    few: int | None
    seed: int

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Options:
        """The options in what `to_dict` gave; anything else in it is left aside."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__})

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts from random weights."""
        return self.strategy == "from-scratch"


@dataclass(frozen=True)
class Assembly:
    """All that a run works on."""

    task: Task
    model: nn.Module
    settings: Settings
    loaders: Loaders
    phases: list[Phase]


def default_backbone(data: str) -> str:
    """Photos get a network that learned from photos, drawn images the one that learned from drawn images."""
    from helpers.data.load import DRAWN

    return "embedded" if data in DRAWN else "efficientnet_lite0"


def assemble(options: Options) -> Assembly:
    """Load and build what the options name.

    Raises:
        HelpersError: if one of them makes no sense or names something that is not there.
    """
    phases = make_strategy(options.strategy, epochs=options.epochs, lr=options.lr)
    if options.from_scratch and options.weights is not None:
        raise HelpersError("from-scratch starts from random weights; leave --weights out, or choose another strategy")
    import torch

    from helpers.data.load import DRAWN, load_task
    from helpers.data.loaders import make_loaders
    from helpers.models.backbones import load_backbone
    from helpers.models.heads import replace_head
    from helpers.training.loop import Settings

    torch.manual_seed(options.seed)
    weights = None if options.from_scratch else options.weights or "DEFAULT"
    model = load_backbone(options.backbone, weights)
    preprocessing, side = model.preprocessing, options.image_size
    if side is not None:  # of the whole image: what was asked for is not cropped further
        preprocessing = replace(preprocessing, image_size=side, resize_size=side)
    size = {"size": side} if side is not None and options.data in DRAWN else {}
    task = load_task(options.data, root=None if options.root is None else Path(options.root), seed=0, **size)
    if options.few is not None:
        task = task.few(options.few, seed=options.seed)
    replace_head(model, len(task.classes), seed=options.seed)
    settings = Settings(batch_size=options.batch_size, preprocessing=preprocessing)
    loaders = make_loaders(
        task, preprocessing, batch_size=settings.batch_size, augment=settings.augment, seed=options.seed
    )
    return Assembly(task, model, settings, loaders, phases)
