"""What PyTorch's transfer-learning tutorial does, with its own settings.

Source: https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html. Batches of 4, four DataLoader
workers, SGD with momentum 0.9 at 0.001, StepLR (7, 0.1), training and validation in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

NORMALIZE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
TRAIN = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMALIZE]
)
VAL = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALIZE])


def network(architecture: str) -> nn.Module:
    """The architecture with a head for two classes; the time does not depend on the weights."""
    return models.get_model(architecture, weights=None, num_classes=2)


def feature_extraction(folder: str, architecture: str, epochs: int) -> Callable[[], int]:
    """Some epochs of the tutorial's "ConvNet as fixed feature extractor", validation included."""

    def work() -> int:
        model = network(architecture)
        for parameter in model.parameters():
            parameter.requires_grad = False
        model.fc = nn.Linear(model.fc.in_features, 2)
        return _train(model, model.fc.parameters(), folder, ("train", "val"), epochs)

    return work


def fine_tuning(folder: str, architecture: str) -> Callable[[], int]:
    """One training epoch of the tutorial's "Finetuning the ConvNet"."""
    model = network(architecture)
    return lambda: _train(model, model.parameters(), folder, ("train",), 1)


def _train(model: nn.Module, parameters, folder: str, phases: tuple[str, ...], epochs: int) -> int:
    sets = {phase: datasets.ImageFolder(Path(folder) / phase, TRAIN if phase == "train" else VAL) for phase in phases}
    loaders = {phase: DataLoader(sets[phase], batch_size=4, shuffle=True, num_workers=4) for phase in phases}
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(parameters, lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    for _ in range(epochs):
        for phase in phases:
            model.train(phase == "train")
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, predictions = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(predictions == labels.data)
            if phase == "train":
                scheduler.step()
    return epochs * len(sets["train"])
