"""Fine-tuning with accelerate, Lightning and fastai, as their own guides show it: batches of 32, two workers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets

from benchmarks.tutorial import TRAIN, network

BATCH = 32
WORKERS = 2


def accelerate(folder: str, architecture: str) -> Callable[[], int]:
    """One training epoch of the loop in accelerate's quick tour."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = network(architecture)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    model, optimizer, loader = accelerator.prepare(model, optimizer, _loader(folder))
    criterion = nn.CrossEntropyLoss()

    def epoch() -> int:
        model.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            accelerator.backward(criterion(model(inputs), labels))
            optimizer.step()
        return len(loader.dataset)

    return epoch


def lightning(folder: str, architecture: str) -> Callable[[], int]:
    """One training epoch of a LightningModule."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.criterion = network(architecture), nn.CrossEntropyLoss()

        def training_step(self, batch, _):
            inputs, labels = batch
            return self.criterion(self.model(inputs), labels)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.001, momentum=0.9)

    classifier, loader = Classifier(), _loader(folder)

    def epoch() -> int:
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", logger=False, **quiet)
        trainer.fit(classifier, loader)
        return len(loader.dataset)

    return epoch


def fastai(folder: str, architecture: str) -> Callable[[], int]:
    """One training epoch of `vision_learner`, with its default image size and augmentation for 224 px."""
    from fastai.callback.core import Callback, CancelValidException
    from fastai.vision.all import ImageDataLoaders, Learner, Resize, accuracy, aug_transforms, vision_learner
    from fastai.vision.learner import create_vision_model
    from torchvision import models

    class OnlyTraining(Callback):
        """As for the others, validation is not timed."""

        def before_validate(self) -> None:
            raise CancelValidException

    loaders = ImageDataLoaders.from_folder(
        Path(folder), valid="val", item_tfms=Resize(256), batch_tfms=aug_transforms(size=224), bs=BATCH
    )
    options = {"metrics": accuracy, "cbs": OnlyTraining()}
    if architecture == "mobilenet_v2":  # it pools in `forward`, and fastai looks for a pooling layer to cut at
        model = create_vision_model(getattr(models, architecture), loaders.c, pretrained=False, cut=-1)
        learner = Learner(loaders, model, **options)
    else:
        learner = vision_learner(loaders, getattr(models, architecture), pretrained=False, **options)
    learner.unfreeze()

    def epoch() -> int:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, lr=1e-3)
        return len(loaders.train_ds)

    return epoch


def _loader(folder: str) -> DataLoader:
    return DataLoader(datasets.ImageFolder(Path(folder) / "train", TRAIN), BATCH, shuffle=True, num_workers=WORKERS)
