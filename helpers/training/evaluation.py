"""Evaluate a classifier: accuracy, loss, confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.measure import proportion_interval
from helpers.models.modes import eval_mode
from helpers.training.runs.precision import autocast


@dataclass(frozen=True)
class Scores:
    """A model's outputs for labeled images: accuracy, loss, confusion matrix.

    Attributes:
        logits: (N, C) float32, on the CPU.
        labels: (N,) int64, on the CPU.
    """

    logits: Tensor
    labels: Tensor

    @property
    def predictions(self) -> Tensor:
        """The class with the highest logit for each image, (N,) int64."""
        return self.logits.argmax(dim=1)

    @property
    def correct(self) -> int:
        """How many images are classified correctly."""
        return int((self.predictions == self.labels).sum())

    @property
    def accuracy(self) -> float:
        """The fraction of images classified correctly, 0 to 1."""
        return self.correct / len(self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, without label smoothing."""
        return functional.cross_entropy(self.logits, self.labels).item()

    @property
    def confusion(self) -> Tensor:
        """Counts, (C, C) int64: rows are true classes, columns predicted ones."""
        classes = self.logits.shape[1]
        return torch.bincount(self.labels * classes + self.predictions, minlength=classes**2).view(classes, classes)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval for the accuracy, from the number of images alone (not from other seeds)."""
        return proportion_interval(self.correct, len(self.labels), confidence)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    precision: str = "fp32",
    gather: Callable[[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]] | None = None,
) -> Scores:
    """Evaluate a classifier on batches, in eval mode; its mode is put back afterwards.

    Args:
        model: gives logits (B, C), or (B, C, 1, 1) from a convolutional head, for images (B, 3, H, W).
        batches: of (images, labels), say `make_loaders(...).val`.
        precision: `"fp32"` or `"bf16"`.
        gather: where several processes share the batches: brings their parts together.
    """
    device = next(model.parameters()).device
    logits, labels = [], []
    with eval_mode(model):
        for images, batch_labels in batches:
            images = images.to(device)
            with autocast(precision, images):
                outputs = model(images).flatten(1).float(), batch_labels.to(device)
            batch_logits, batch_labels = outputs if gather is None else gather(outputs)
            logits.append(batch_logits.cpu())
            labels.append(batch_labels.cpu())
    return Scores(torch.cat(logits), torch.cat(labels))
