"""Telling trained layers from freshly initialised ones by their weights alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from helpers.doctor.trace import Layer

ENOUGH = 2000  # weights; below this a layer's distribution tells too little
# Kurtosis (fourth moment over squared variance) of what PyTorch's and timm's initialisers draw from.
KURTOSIS = {"uniform": 1.8, "normal": 3.0, "normal cut at two sigma": 2.37}


def looks_fresh(weight: torch.Tensor) -> bool | None:
    """Whether weights (out, in, ...) are as an initialiser leaves them; None where they are too few to tell.

    An initialiser draws every weight independently from one uniform or normal distribution around zero. Training
    leaves that: a few weights grow (heavy tails) and some filters grow more than others. So three things have to
    agree: mean, kurtosis, and the spread of the filters' norms.
    """
    weight = weight.detach().float().flatten(1)
    count, fan_in = weight.numel(), weight.shape[1]
    if count < ENOUGH or fan_in < 9 or len(weight) < 2:
        return None
    variance = weight.var(unbiased=False)
    if variance == 0:
        return True
    kurtosis = float(((weight - weight.mean()) ** 4).mean() / variance**2)
    tolerance = 6 * math.sqrt(24 / count) + 0.03
    named = [expected for expected in KURTOSIS.values() if abs(kurtosis - expected) < tolerance]
    if not named or abs(float(weight.mean())) > 6 * float(variance.sqrt()) / math.sqrt(count):
        return False
    power = weight.square().mean(1)
    spread = float(power.std() / power.mean())
    expected_spread = math.sqrt((kurtosis - 1) / fan_in)
    return spread < 1.6 * expected_spread * (1 + 3 / math.sqrt(len(weight)))


def untouched_batch_norm(layer: Layer) -> bool:
    """Whether a BatchNorm layer still has the statistics that it was made with: mean 0, variance 1, no batch seen."""
    module = layer.module
    if module.running_mean is None:
        return False
    fresh_mean = not bool(module.running_mean.any())
    fresh_variance = bool((module.running_var == 1).all())
    return fresh_mean and fresh_variance


def fresh_share(layers: Iterable[Layer]) -> tuple[float, list[Layer], list[Layer]]:
    """How much of some layers looks freshly initialised.

    Returns:
        The share of weights (among layers large enough to tell), the fresh layers, and the trained ones.
    """
    fresh, trained = [], []
    for layer in layers:
        verdict = looks_fresh(layer.weight) if layer.weight is not None else None
        if verdict is not None:
            (fresh if verdict else trained).append(layer)
    count = sum(layer.weight.numel() for layer in fresh)
    whole = count + sum(layer.weight.numel() for layer in trained)
    return (count / whole if whole else 0.0), fresh, trained
