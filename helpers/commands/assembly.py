"""From the options of a command to what training needs: task, model, preprocessing, loaders, phases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import HelpersError, note
from helpers.training.strategies import Phase, make_strategy

if TYPE_CHECKING:
    from torch import nn

    from helpers.data.loaders import Loaders
    from helpers.data.preprocessing import Preprocessing
    from helpers.data.tasks import Task
    from helpers.models.saved_models import SavedModel
    from helpers.training.loop import Settings

SETTINGS = "optimizer weight_decay label_smoothing augment mix patience views precision balance"
IN_FIELD = {
    "settings": SETTINGS.split(),
    "changes": ["schedule", "warmup", "layer_decay"],
    "folder": ["labels", "group", "class_names"],
}
"""Options of `fit` that are fields of `Settings` and of `Phase`, and arguments of `load_task`."""


@dataclass(frozen=True)
class Options:
    """What a training run was asked to do; kept in its folder, so that the run can be looked at again.

    `phases` are those of a strategy file; `settings`, `changes` and `folder` hold what was given of `IN_FIELD`.
    """

    data: str
    root: str | None
    backbone: str | None
    weights: str | None
    strategy: str
    epochs: int | None
    lr: float | None
    batch_size: int
    image_size: int | None
    few: int | None
    seed: int
    hidden: int | None = None
    resize: str | None = None
    phases: list | None = None
    settings: dict | None = None
    changes: dict | None = None
    folder: dict | None = None

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Options:
        """The options in a summary; anything else in it is left aside."""
        return cls(**{name: stored.get(name) for name in cls.__dataclass_fields__})

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts from random weights."""
        return self.strategy == "from-scratch"

    def strategy_phases(self, steps_per_epoch: int | None = None) -> list[Phase]:
        """The phases of the strategy, of a name or from a file, with what the options change in each."""
        if self.phases is None:
            phases = make_strategy(self.strategy, epochs=self.epochs, lr=self.lr, steps_per_epoch=steps_per_epoch)
        elif self.epochs is None and self.lr is None:
            phases = [Phase(**phase) for phase in self.phases]
        else:
            raise HelpersError(f"{self.strategy} says epochs and lr for each phase; leave --epochs and --lr out")
        return [replace(phase, **(self.changes or {})) for phase in phases]


@dataclass(frozen=True)
class Assembly:
    """All that a run works on."""

    task: Task
    model: nn.Module
    settings: Settings
    loaders: Loaders
    phases: list[Phase]


def own_model(weights: str | None) -> SavedModel | None:
    """One's own trained model, if `weights` is the folder of a run or a file from one."""
    from helpers.models.saved_models import MODEL, load_model
    from helpers.models.weights_files.reading import metadata

    path = Path(weights or "-")
    path = path / MODEL if path.is_dir() else path
    return load_model(path) if path.is_file() and '"classes"' in metadata(path).get("description", "") else None


def assemble(options: Options, trained: SavedModel | None = None) -> Assembly:
    """Load and build what the options name, or all around a network that was `trained` with them."""
    options.strategy_phases()  # a wrong name is told before data are read
    if options.from_scratch and options.weights is not None:
        raise HelpersError("from-scratch starts from random weights; leave --weights out, or choose another strategy")
    import torch

    from helpers.data.load import DRAWN, load_task
    from helpers.data.loaders import make_loaders
    from helpers.models.heads import replace_head

    torch.manual_seed(options.seed)
    model, classes = _start(options) if trained is None else (trained.model.train(), trained.classes)
    settings = _settings(options, model.preprocessing)
    side = options.image_size
    given = (options.folder or {}) | ({"size": side} if side is not None and options.data in DRAWN else {})
    task = load_task(options.data, root=None if options.root is None else Path(options.root), seed=0, **given)
    if options.few is not None:
        task = task.few(options.few, seed=options.seed)
    if trained is None and (classes != task.classes or options.hidden is not None):
        replace_head(model, len(task.classes), hidden=options.hidden, seed=options.seed)
    elif trained is None:
        note(f"{options.weights} was trained for the same classes, so its head is kept and learns on")
    loaders = make_loaders(
        task, settings.preprocessing, batch_size=settings.batch_size, augment=settings.augment, seed=options.seed
    )
    return Assembly(task, model, settings, loaders, options.strategy_phases(len(loaders.train)))


def _start(options: Options) -> tuple[nn.Module, tuple[str, ...] | None]:
    """The network that training starts from, and the classes of its head where it is one's own trained model."""
    from helpers.data.load import DRAWN
    from helpers.models.backbones import load_backbone
    from helpers.models.weights_files.reading import digest

    own = own_model(options.weights)
    if own is None:
        weights = None if options.from_scratch else options.weights or "DEFAULT"
        usual = "embedded" if options.data in DRAWN else "efficientnet_lite0"
        return load_backbone(options.backbone or usual, weights), None
    held = own.about["backbone"]
    if options.backbone not in (None, held):
        raise HelpersError(f"{options.weights} holds a {held}, not a {options.backbone}; leave --backbone out")
    own.model.weights_digest = digest(own.model)
    return own.model.train(), own.classes


def _settings(options: Options, preprocessing: Preprocessing) -> Settings:
    from helpers.training.loop import Settings

    if options.image_size is not None:  # of the whole image: what was asked for is not cropped further
        preprocessing = replace(preprocessing, image_size=options.image_size, resize_size=options.image_size)
    if options.resize is not None:
        preprocessing = preprocessing.with_resize(options.resize)
    given = {name: None if value == "none" else value for name, value in (options.settings or {}).items()}
    return Settings(batch_size=options.batch_size, preprocessing=preprocessing, **given)
