"""Balance unequal classes: draw images of rare classes more often, or weigh their loss."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers.errors import HelpersError

BALANCES = (None, "sampler", "weights")


def class_weights(labels: Tensor) -> Tensor:
    """Images per class on average, divided by the images of each class, float32 (C,): scikit-learn's "balanced"."""
    values = labels.numpy()
    weights = compute_class_weight("balanced", classes=np.unique(values), y=values)
    return torch.tensor(weights, dtype=torch.float32)


def set_sampling(train: DataLoader, balance: str | None) -> None:
    """Let each epoch draw every class equally often, with replacement, for "sampler"; else each image once.

    Raises:
        HelpersError: for an unknown way to balance.
    """
    if balance not in BALANCES:
        raise HelpersError(f"balance {balance!r} is not known; choose sampler or weights")
    labels = train.dataset.images.labels
    train.sampler.weights = class_weights(labels)[labels] if balance == "sampler" else None


def make_criterion(train: DataLoader, label_smoothing: float, balance: str | None, device: torch.device) -> nn.Module:
    """Cross-entropy with label smoothing; for "weights", each class weighs as much as every other."""
    weight = class_weights(train.dataset.images.labels).to(device) if balance == "weights" else None
    return nn.CrossEntropyLoss(weight, label_smoothing=label_smoothing)
