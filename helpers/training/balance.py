"""Balance unequal classes: draw images of rare classes more often, or weigh their loss."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.utils.data import DataLoader


def class_weights(labels: Tensor) -> Tensor:
    """Images per class on average over the images of each class, float32 (C,): scikit-learn's "balanced"."""
    classes = np.unique(labels.numpy())
    return torch.tensor(compute_class_weight("balanced", classes=classes, y=labels.numpy()), dtype=torch.float32)


def set_sampling(train: DataLoader, balance: str | None) -> None:
    """For "sampler", draw every class equally often in each epoch, with replacement; else each image once."""
    labels = train.dataset.images.labels
    train.sampler.weights = class_weights(labels)[labels] if balance == "sampler" else None


def make_criterion(train: DataLoader, label_smoothing: float, balance: str | None, device: torch.device) -> nn.Module:
    """Cross-entropy with label smoothing; for "weights", each class counts as much as every other."""
    weight = class_weights(train.dataset.images.labels).to(device) if balance == "weights" else None
    return nn.CrossEntropyLoss(weight, label_smoothing=label_smoothing)
