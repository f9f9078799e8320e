"""Learning-rate finder: the loss while the rate grows from step to step, measured on copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from helpers.errors import HelpersError
from transfer_doctor.isolation import copies, isolation
from transfer_doctor.loader_copy import loader_copy

SMOOTHING = 0.9
DIVERGED = 3.0  # times the lowest loss


@dataclass(frozen=True)
class LRCurve:
    """What `find_lr` measured, step by step up to where the loss diverged.

    Attributes:
        rates: the highest learning rate of all parameter groups.
        losses: of the batches, as an exponential moving average (0.9, bias corrected).
        suggestion: a tenth of the rate at which this loss is lowest: the average lags behind, and a run takes many
            steps at its rate where the finder takes one.
    """

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Iterable[tuple[Tensor, Tensor]],
    criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LRCurve:
    """Find a learning rate: train a copy while the rate grows exponentially, and see where the loss is lowest.

    The range test of Smith, *Cyclical Learning Rates for Training Neural Networks* (WACV 2017). Model, optimizer,
    loader and random states stay exactly as they are. Parameter groups keep the ratios of their rates.

    Args:
        model: gives logits (B, C) for images (B, 3, H, W); its copy runs in train mode.
        optimizer: holds the parameters to train.
        loader: gives batches (images, labels); it is repeated as often as `steps` needs.
        criterion: from logits and labels to a loss; default: cross-entropy.
        lowest: the highest rate of all groups in the first step.
        highest: the same in the last step, unless the loss diverges before.
        steps: optimizer steps, 20 or more.

    Raises:
        HelpersError: if the range makes no sense, or the loss never falls in it.
    """
    ratios = np.array([float(group["lr"]) for group in optimizer.param_groups])
    if not (0 < lowest < highest and steps >= 20 and ratios.max() > 0):
        raise HelpersError(
            "find_lr needs 0 < lowest < highest, 20 steps or more, and an optimizer with a rate above 0; not "
            f"{lowest=}, {highest=}, {steps=}, rates {ratios.tolist()}"
        )
    criterion, ratios = criterion or nn.CrossEntropyLoss(), ratios / ratios.max()
    rates, losses, total = np.geomspace(lowest, highest, steps), [], 0.0
    with isolation(model), loader_copy(loader) as same_batches:
        model, optimizer = copies(model, optimizer)
        model.train()
        device = next(model.parameters()).device
        for rate, (images, labels) in zip(rates, _endless(same_batches), strict=False):
            for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
                group["lr"] = float(rate * ratio)
            loss = criterion(model(images.to(device)), labels.to(device))
            total = SMOOTHING * total + (1 - SMOOTHING) * loss.item()
            average = total / (1 - SMOOTHING ** (len(losses) + 1))
            if not math.isfinite(average) or average > DIVERGED * min(losses, default=average):
                break
            losses.append(average)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if not losses or min(losses) == losses[0]:
        raise HelpersError(
            f"the loss does not fall from a rate of {lowest:g} on: try a lower `lowest`, then let "
            "diagnose(model, optimizer, loader) look at the set-up"
        )
    return LRCurve(rates[: len(losses)].tolist(), losses, float(rates[np.argmin(losses)]) / 10)


def _endless(loader: Iterable) -> Iterator:
    while True:
        yield from loader
