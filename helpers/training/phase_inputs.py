"""What a phase learns from: images, or features that were computed once because nothing below the head changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn
from torch.utils.data import DataLoader

from helpers.data.loaders import Loaders
from helpers.models.stages import head
from helpers.training.features import FeatureBatches, Features, extract

if TYPE_CHECKING:
    from accelerate import Accelerator

    from helpers.data.tasks import Task


@dataclass(frozen=True)
class Material:
    """The network that runs in a phase, and the batches that it runs on.

    Attributes:
        network: the whole model, or its head alone.
        train: shuffled batches (inputs, labels); inputs are images, or features where the head runs alone.
        val: batches in order.
        images: whether the inputs are images.
    """

    network: nn.Module
    train: DataLoader
    val: DataLoader
    images: bool


def images_for(model: nn.Module, loaders: Loaders, accelerator: Accelerator) -> Material:
    """The whole model on images, each batch shared among the processes."""
    share = accelerator.prepare_data_loader
    return Material(accelerator.prepare_model(model), share(loaders.train), share(loaders.val), True)


def features_for(
    model: nn.Module, task: Task, loaders: Loaders, accelerator: Accelerator, *, views: int, precision: str
) -> Material:
    """The head alone on stored features, in the order in which the plain loop would meet the images.

    Args:
        model: its backbone runs once over the validation images and `views` times over the training images.
        task: names the images.
        loaders: of the task.
        accelerator: shares each batch among the processes.
        views: the first is the training image as it is; each further one is augmented as in another epoch.
        precision: of the backbone, `"fp32"` or `"bf16"`.
    """
    share = accelerator.prepare_data_loader

    def run(loader: DataLoader, names: list[str]) -> Features:
        return extract(model, share(loader), names, precision=precision, gather=accelerator.gather_for_metrics)

    names = task.train.names
    train = [run(loaders.plain, names)] + [run(_view(loaders.train, number), names) for number in range(1, views)]
    val = run(loaders.val, task.val.names)
    like = loaders.train
    train_loader = DataLoader(FeatureBatches(train), batch_sampler=like.batch_sampler, collate_fn=like.collate_fn)
    val_loader = DataLoader(FeatureBatches([val]), batch_size=like.batch_size, collate_fn=like.collate_fn)
    network = accelerator.prepare_model(nn.Sequential(head(model), nn.Flatten(1)))
    return Material(network, share(train_loader), share(val_loader), False)


def _view(train: DataLoader, number: int) -> DataLoader:
    """Every training image once, in order, augmented as in epoch `number`."""
    count = len(train.dataset)
    return DataLoader(
        train.dataset,
        batch_size=train.batch_size,
        sampler=range(number * count, (number + 1) * count),
        collate_fn=train.collate_fn,
        num_workers=train.num_workers,
    )
