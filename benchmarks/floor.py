"""What no training loop can beat: the network alone, on one batch that is ready in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.photos import COUNTS
from benchmarks.tutorial import network
from helpers import load_backbone, replace_head
from helpers.training.runs.precision import autocast, tune_allocator

BATCH = 32
TRAIN_PHOTOS, VAL_PHOTOS = (sum(COUNTS[split].values()) for split in ("train", "val"))


def forward(architecture: str, precision: str, epochs: int) -> Callable[[], int]:
    """All photos once through the network, batches of 16, without gradients: enough for any number of epochs."""
    tune_allocator()
    model = network(architecture).eval().to(memory_format=torch.channels_last)
    images = torch.randn(16, 3, 224, 224).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def work() -> int:
        with autocast(precision, images):
            for _ in range(round((TRAIN_PHOTOS + VAL_PHOTOS) / len(images))):
                model(images)
        return epochs * TRAIN_PHOTOS

    return work


def training(architecture: str, precision: str) -> Callable[[], int]:
    """The steps of one epoch over the photos, 224 px."""
    return _steps(network(architecture), 224, precision, TRAIN_PHOTOS)


def small_network(precision: str, count: int) -> Callable[[], int]:
    """The steps of one epoch of the embedded backbone over drawn flowers, 64 px."""
    return _steps(replace_head(load_backbone(), 2), 64, precision, count)


def _steps(model: nn.Module, size: int, precision: str, count: int) -> Callable[[], int]:
    tune_allocator()
    model = model.train().to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.zeros(BATCH, dtype=torch.long)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def epoch() -> int:
        steps = round(count / BATCH)
        for _ in range(steps):
            with autocast(precision, images):
                loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * BATCH

    return epoch
