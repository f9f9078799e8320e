"""Transferability scores: guess from features how well a pretrained network will transfer, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, kendalltau
from sklearn.covariance import LedoitWolf
from torch import Tensor

from helpers.errors import HelpersError

Numbers = NDArray[np.float64]


def h_score(features: Tensor, labels: Tensor, shrink: bool = True) -> float:
    """H-score: how much of the features' variance lies between the classes, after whitening; 0 to classes - 1.

    Source: Bao et al., *An information-theoretic approach to transferability in task transfer learning* (ICIP 2019);
    with shrinkage as in Ibrahim et al., *Newer is not always better* (ECML PKDD 2022).

    Args:
        features: (N, D).
        labels: (N,) int64.
        shrink: estimate the covariance by Ledoit and Wolf's method, which is needed where N is no larger than D.

    Raises:
        HelpersError: if features and labels do not belong together, or there is one class only.
    """
    x, y = _checked(features, labels)
    x = x - x.mean(0)
    means = np.zeros_like(x)
    for label in np.unique(y):
        means[y == label] = x[y == label].mean(0)
    between = means.T @ means / len(x)
    if shrink:
        estimate = LedoitWolf(assume_centered=True, store_precision=False).fit(x)
        return float((1 - estimate.shrinkage_) * np.trace(np.linalg.solve(estimate.covariance_, between)))
    return float(np.trace(np.linalg.pinv(x.T @ x / len(x), hermitian=True) @ between))


def log_me(features: Tensor, labels: Tensor, rounds: int = 100) -> float:
    """LogME: the evidence of a Bayesian linear regression from features to each class, per image; higher is better.

    Weights and noise are Gaussian; their precisions, alpha and beta, are set to what maximizes the evidence, by
    MacKay's fixed-point iteration.

    Source: You et al., *LogME: practical assessment of pre-trained models for transfer learning* (ICML 2021).

    Args:
        features: (N, D).
        labels: (N,) int64.
        rounds: iterations at most.

    Raises:
        HelpersError: if features and labels do not belong together, or there is one class only.
    """
    x, y = _checked(features, labels)
    left, singular, _ = np.linalg.svd(x, full_matrices=False)
    targets = [(y == label).astype(float) for label in np.unique(y)]
    return float(np.mean([_evidence(left.T @ t, t @ t, singular**2, x.shape, rounds) for t in targets]))


def _evidence(inside: Numbers, total: float, squares: Numbers, shape: tuple[int, int], rounds: int) -> float:
    """The largest log evidence per image; `inside` are the target's coordinates along the features' axes."""
    count, width = shape
    outside = max(total - inside @ inside, 0.0)  # the part of the target that no weights can reach
    alpha = beta = 1.0
    for _ in range(rounds):
        known = beta * squares / (alpha + beta * squares)
        weights = inside**2 * squares * (beta / (alpha + beta * squares)) ** 2
        error = outside + np.sum((inside * (1 - known)) ** 2)
        before, alpha = alpha / beta, np.sum(known) / max(np.sum(weights), 1e-12)
        beta = (count - np.sum(known)) / max(error, 1e-12)
        if abs(alpha / beta - before) <= 1e-6 * before:
            break
    weights = np.sum(inside**2 * squares * (beta / (alpha + beta * squares)) ** 2)
    error = outside + np.sum((inside * alpha / (alpha + beta * squares)) ** 2)
    volume = np.sum(np.log(alpha + beta * squares)) + (width - len(squares)) * np.log(alpha)
    fit = count * np.log(beta / (2 * np.pi)) + width * np.log(alpha) - beta * error - alpha * weights - volume
    return fit / (2 * count)


class Correlation(NamedTuple):
    """Kendall's rank correlation and its 95 % interval by bootstrap over the candidates."""

    tau: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.tau:.2f} ({self.low:.2f} to {self.high:.2f})"


def rank_correlation(scores: Sequence[float], accuracies: Sequence[float], resamples: int = 500) -> Correlation:
    """Kendall's tau of scores and accuracies, -1 to 1, with a percentile bootstrap interval over candidates.

    Args:
        scores: one for each candidate, such as LogME.
        accuracies: what training gave with the same candidates.
        resamples: of the bootstrap.

    Raises:
        HelpersError: for fewer than four candidates, or two lists that differ in length.
    """
    if len(scores) != len(accuracies) or len(scores) < 4:
        raise HelpersError(
            f"{len(scores)} scores and {len(accuracies)} accuracies cannot be ranked against each other; "
            "give one of each for four candidates or more"
        )
    found = bootstrap(
        (np.asarray(scores), np.asarray(accuracies)),
        lambda one, other: kendalltau(one, other).statistic,
        paired=True,
        vectorized=False,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    tau = float(kendalltau(scores, accuracies).statistic)
    return Correlation(tau, *(float(end) for end in found.confidence_interval))


def _checked(features: Tensor, labels: Tensor) -> tuple[Numbers, NDArray[np.int64]]:
    x, y = np.asarray(features, dtype=float), np.asarray(labels)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(np.unique(y)) < 2:
        raise HelpersError(
            f"features {x.shape} and labels {y.shape} give no score; give features (N, D) and N labels of two or more "
            "classes"
        )
    return x, y
