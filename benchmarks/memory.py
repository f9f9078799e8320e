"""A small network on images in memory, the usual way: a dataset that transforms one image at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from helpers import load_backbone, load_task, replace_head


class Images(Dataset):
    """Each image on its own, as PyTorch's guides to data loading show it."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, transform: nn.Module) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def per_item() -> Callable[[], int]:
    """One training epoch of the embedded backbone on drawn flowers."""
    task = load_task("flowers", train_per_class=100)
    model = replace_head(load_backbone(), len(task.classes))
    preprocessing = model.preprocessing
    crop = v2.RandomResizedCrop(preprocessing.image_size, scale=(0.6, 1.0))
    scale = v2.ToDtype(torch.float32, scale=True)
    transform = v2.Compose(
        [crop, v2.RandomHorizontalFlip(), scale, v2.Normalize(preprocessing.mean, preprocessing.std)]
    )
    loader = DataLoader(Images(task.train.images, task.train.labels, transform), 32, shuffle=True)
    optimizer, criterion = torch.optim.AdamW(model.parameters(), 1e-4), nn.CrossEntropyLoss()

    def epoch() -> int:
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        return len(loader.dataset)

    return epoch
