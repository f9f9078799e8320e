"""Telling trained layers from freshly initialized ones by their weights alone."""

from __future__ import annotations

import math

import torch

from transfer_doctor.forward_trace import Layer

ENOUGH = 2000  # weights; below this a layer's distribution tells too little
# Kurtosis (fourth moment over squared variance) of what PyTorch's and timm's initializers draw from.
KURTOSIS = {"uniform": 1.8, "normal": 3.0, "normal cut at two sigma": 2.37}


def looks_untrained(weight: torch.Tensor, enough: int = ENOUGH) -> bool | None:
    """Whether weights (out, in, ...) are as an initializer leaves them; None where they are too few to tell.

    An initializer draws every weight independently from one uniform or normal distribution around zero. Training
    leaves that: a few weights grow (heavy tails), some filters, inputs and places in the kernel grow more than
    others, and a few directions stand out from the spectrum (Martin and Mahoney, "Implicit Self-Regularization in
    Deep Neural Networks", JMLR 2021). All of that has to be absent. The largest singular value of independent
    entries is close to sigma * (sqrt(rows) + sqrt(columns)) (Bai and Yin, 1993).
    """
    weight = weight.detach().float()
    kernel = weight[0, 0].numel()
    weight = weight.flatten(1)
    count, fan_in = weight.numel(), weight.shape[1]
    variance = weight.var(unbiased=False)
    if variance == 0:
        return True
    if count < enough or fan_in < 9 or len(weight) < 2:
        return None
    kurtosis = float(((weight - weight.mean()) ** 4).mean() / variance**2)
    tolerance = 6 * math.sqrt(24 / count) + 0.03
    named = [expected for expected in KURTOSIS.values() if abs(kurtosis - expected) < tolerance]
    if not named or abs(float(weight.mean())) > 6 * float(variance.sqrt()) / math.sqrt(count):
        return False
    shape = weight.shape
    positions = weight.reshape(shape[0], -1, kernel).square() if kernel > 1 else weight.square()[:, :, None]
    return (
        _even(weight.square().mean(1), fan_in, kurtosis)
        and _even(weight.square().mean(0), len(weight), kurtosis)
        and _even(positions.mean((0, 1)), count // kernel, kurtosis)
        and _largest_singular_value(weight) < 1.08 * float(variance.sqrt()) * (len(weight) ** 0.5 + fan_in**0.5)
    )


def _even(powers: torch.Tensor, draws: int, kurtosis: float) -> bool:
    """Whether mean squares, each of so many independent draws, differ no more than chance makes them."""
    if len(powers) < 2:
        return True
    spread = float(powers.std() / powers.mean())
    return spread < math.sqrt((kurtosis - 1) / draws) * (1.3 + 4 / math.sqrt(len(powers)))


def _largest_singular_value(weight: torch.Tensor) -> float:
    """By power iteration, which never gives more than the true value."""
    vector = torch.ones(weight.shape[1], device=weight.device)
    for _ in range(12):
        vector = weight.T @ (weight @ vector)
        vector /= vector.norm().clamp_min(1e-30)
    return float((weight @ vector).norm())


def has_initial_statistics(layer: Layer) -> bool:
    """Whether a BatchNorm layer still has the statistics that it was made with: mean 0, variance 1, no batch seen."""
    module = layer.module
    if module.running_mean is None:
        return False
    initial_mean = not bool(module.running_mean.any())
    initial_variance = bool((module.running_var == 1).all())
    return initial_mean and initial_variance


def has_statistics(layer: Layer | None) -> bool:
    """Whether a layer is a BatchNorm that has seen images."""
    return layer is not None and layer.is_batch_norm and not has_initial_statistics(layer)
