"""Where mistakes are built: a pretrained network, images with labels, and the loaders of a usual script."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets
from torchvision.transforms import v2

from helpers.data.preprocessing import Preprocessing
from helpers.models.heads import replace_head


@dataclass
class Setup:
    """The objects of a training script, just before its first epoch.

    `epoch_mode` is the mode in which the script trains, `score_mode` the one in which it evaluates: a script may
    well call neither `train()` nor `eval()`.
    """

    model: nn.Module
    optimizer: Any = None
    train_loader: Iterable | None = None
    val_loader: Iterable | None = None
    scheduler: Any = None
    criterion: Callable | None = field(default_factory=nn.CrossEntropyLoss)
    weights: Any = None
    classes: Sequence[str] | None = None
    epoch_mode: bool = True
    score_mode: bool = False

    def arguments(self) -> dict[str, Any]:
        """The arguments for `diagnose`."""
        names = ("optimizer", "train_loader", "val_loader", "scheduler", "criterion", "weights", "classes")
        return {"model": self.model, **{name: getattr(self, name) for name in names}}


class Photos(Dataset):
    """Images in memory with a transform, as a learner writes it."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform: Callable | None) -> None:
        self.images, self.targets, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        return (self.transform(image) if self.transform else image), int(self.targets[index])


class World:
    """A pretrained network and a small task for it.

    Args:
        pretrained: the network with its original head; every model of this world is a copy of it.
        train: uint8 images (N, 3, H, W) and labels (N,).
        val: likewise.
        classes: class names.
        preprocessing: how the network's weights expect images.
        family: `"sgd"` or `"adam"`.
        rates: learning rates of a new head and of pretrained layers that do well with this network and optimizer.
        batch_size: images in a batch.
    """

    def __init__(
        self,
        pretrained: nn.Module,
        train: tuple[torch.Tensor, torch.Tensor],
        val: tuple[torch.Tensor, torch.Tensor],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        family: str = "sgd",
        rates: tuple[float, float] = (1e-2, 1e-3),
        batch_size: int = 8,
    ) -> None:
        self.pretrained, self.train, self.val = pretrained, train, val
        self.classes, self.preprocessing, self.family, self.rates, self.batch_size = (
            classes,
            preprocessing,
            family,
            rates,
            batch_size,
        )
        self.seed = 0

    def model(self, head: bool = True) -> nn.Module:
        """A copy of the network, with a new head for the task unless told otherwise, everything trainable."""
        model = copy.deepcopy(self.pretrained).train().requires_grad_(True)
        return replace_head(model, len(self.classes), seed=self.seed) if head else model

    @property
    def head_path(self) -> str:
        """Name of the layer that `model` replaces."""
        names = [name for name, m in self.pretrained.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
        return names[-1]

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """The pretrained weights, as a file holds them."""
        return self.pretrained.state_dict()

    @property
    def preparation(self) -> list[Any]:
        """Transforms that no image goes without."""
        return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(self.preprocessing.mean, self.preprocessing.std)]

    def optimizer(self, parameters: Any, lr: float | None = None, **settings: Any) -> torch.optim.Optimizer:
        """An optimizer of this world's family; the rate is the one for pretrained layers unless given."""
        rate = self.rates[1] if lr is None else lr
        if self.family == "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=0.9, **settings)
        return torch.optim.Adam(parameters, lr=rate, **settings)

    def two_groups(self, model: nn.Module, head_lr: float, body_lr: float) -> list[dict[str, Any]]:
        """Parameter groups: the body and the head."""
        head = list(model.get_submodule(self.head_path).parameters())
        known = {id(p) for p in head}
        body = [p for p in model.parameters() if id(p) not in known]
        return [{"params": body, "lr": body_lr}, {"params": head, "lr": head_lr}]

    def loader(
        self, split: str, transforms: Sequence[Any] | None = None, *, shuffle: bool | None = None, **settings: Any
    ) -> DataLoader:
        """The usual loader of `"train"` (shuffled, mirrored at random) or `"val"`."""
        images, labels = getattr(self, split)
        usual = [v2.RandomHorizontalFlip(), *self.preparation] if split == "train" else self.preparation
        dataset = Photos(images, labels, v2.Compose(usual if transforms is None else list(transforms)))
        dataset.classes = list(self.classes)
        shuffle = split == "train" if shuffle is None else shuffle
        return DataLoader(dataset, self.batch_size, shuffle=shuffle, **settings)

    def loaders(self) -> dict[str, DataLoader]:
        """The usual loaders, by the names of a set-up's fields."""
        return {"train_loader": self.loader("train"), "val_loader": self.loader("val")}

    def usual(self, model: nn.Module | None = None, **fields: Any) -> Setup:
        """The usual set-up: whatever learns is in the optimizer, at this world's rates; `fields` replace its own."""
        model = self.model() if model is None else model
        groups = [
            {**group, "params": [p for p in group["params"] if p.requires_grad]}
            for group in self.two_groups(model, *self.rates)
        ]
        optimizer = self.optimizer([group for group in groups if group["params"]] or list(model.parameters()))
        return Setup(model, **{"optimizer": optimizer, "classes": self.classes, **self.loaders(), **fields})

    @cached_property
    def folder(self) -> Path:
        """The images as files, `train/<class>/<number>.png` and `val/...`, in a temporary folder."""
        from PIL import Image

        root = Path(tempfile.mkdtemp(prefix="mistakes-"))
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        for split in ("train", "val"):
            for number, (image, label) in enumerate(zip(*getattr(self, split), strict=True)):
                path = root / split / self.classes[label] / f"{split}{number:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, compress_level=1)
        return root

    def files(self, split: str, **settings: Any) -> DataLoader:
        """A loader of the folder's images through `ImageFolder`; settings go to it."""
        usual = [v2.ToImage(), *([v2.RandomHorizontalFlip()] if split == "train" else []), *self.preparation]
        dataset = datasets.ImageFolder(self.folder / split, transform=v2.Compose(usual), **settings)
        return DataLoader(dataset, self.batch_size, shuffle=split == "train")
