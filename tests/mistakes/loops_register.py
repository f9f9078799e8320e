"""Training loops as learners write them: each wrong one with its right counterpart, and what they train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from transfer_doctor.watching import Watch

CLASSES = 4
TRAIN, VAL = 44, 20  # batches of 8: the last of each is smaller


@dataclass(frozen=True)
class Loop:
    """A loop in its wrong and its right form.

    Attributes:
        code: the finding that the wrong form is to give.
        also: findings of the wrong form that follow from it.
    """

    name: str
    code: str
    also: frozenset[str]
    run: Callable[[bool], Watch]


LOOPS: list[Loop] = []
CORRECT: dict[str, Callable[[], Watch]] = {}


def loop(code: str, also: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
    """Register `run(wrong)`, which trains under `watch` and returns what was seen."""

    def register(run: Callable[[bool], Watch]) -> Callable:
        LOOPS.append(Loop(run.__name__, code, frozenset(also), run))
        return run

    return register


def correct(run: Callable[[], Watch]) -> Callable[[], Watch]:
    """Register a loop in which nothing is wrong."""
    CORRECT[run.__name__] = run
    return run


class SmallNet(nn.Module):
    """A convolutional network of 2,000 parameters, with BatchNorm and dropout."""

    def __init__(self, classes: int = CLASSES):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(16, classes)

    def forward(self, images):
        return self.fc(self.dropout(self.features(images)))


def images(number: int, seed: int) -> TensorDataset:
    """Noisy 16-pixel images whose class is the brightness of one channel, in no order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % CLASSES
    labels = labels[torch.randperm(number, generator=generator)]
    pixels = torch.randn(number, 3, 16, 16, generator=generator) * 0.3
    pixels[:, 0] += labels[:, None, None] * 0.5
    pixels[:, 1] -= (labels % 2)[:, None, None] * 0.5
    return TensorDataset(pixels, labels)


def loaders(batch_size: int = 8) -> tuple[DataLoader, DataLoader]:
    """Shuffled training images and ordered validation images."""
    return DataLoader(images(TRAIN, 1), batch_size, shuffle=True), DataLoader(images(VAL, 2), batch_size)


def parts(rate: float = 0.05, momentum: float = 0.9):
    """What most loops begin with: model, loss, optimizer and loaders."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    return model, nn.CrossEntropyLoss(), optimizer, *loaders()


def train_one_epoch(model, criterion, optimizer, train_loader):
    """An epoch as it should be."""
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def validate(model, val_loader):
    """A validation as it should be."""
    model.eval()
    correct = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader)
    return correct / len(val_loader.dataset)
