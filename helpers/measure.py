"""Several seeds, and what may be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import HelpersError


@dataclass(frozen=True)
class Interval:
    """A mean and the range in which the true mean lies with the given confidence (Student's t).

    Attributes:
        mean: of the values.
        low: lower end.
        high: upper end.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        """In percent: the values are shares, 0 to 1."""
        return f"{100 * self.mean:.1f} ± {100 * self.half_width:.1f} %, {self.n} seeds"


@dataclass(frozen=True)
class Comparison:
    """Two ways of doing something, compared seed by seed.

    Attributes:
        ours: mean share of the first, 0 to 1.
        theirs: mean share of the second.
        difference: ours minus theirs, of the same seed.
    """

    ours: float
    theirs: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """`"better"`, `"worse"`, or `"not distinguishable"` where the interval holds zero."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "not distinguishable"

    def __str__(self) -> str:
        """In percent and in points."""
        points, half = 100 * self.difference.mean, 100 * self.difference.half_width
        shares = f"{100 * self.ours:.1f} % against {100 * self.theirs:.1f} %"
        return f"{self.verdict}: {shares}, {points:+.1f} ± {half:.1f} points, {self.difference.n} paired seeds"


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of some values with its confidence interval.

    Source: Student, *The probable error of a mean*, Biometrika 6 (1908); quantiles from `scipy.stats.t`.

    Args:
        values: two or more, for instance accuracies of several seeds.
        confidence: 0 to 1.

    Raises:
        HelpersError: for fewer than two values, or some that are not finite.
    """
    from scipy import stats

    values = np.asarray(values, dtype=float)
    if values.size < 2 or not np.isfinite(values).all():
        raise HelpersError(f"an interval needs two or more finite values, not {values.tolist()}; measure more seeds")
    mean = float(values.mean())
    half = (
        float(stats.t.ppf((1 + confidence) / 2, values.size - 1)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    )
    return Interval(mean, mean - half, mean + half, values.size)


def compare(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Comparison:
    """Compare two ways by their differences seed by seed (a paired t interval).

    Args:
        ours: shares from 0 to 1, one a seed.
        theirs: those of the other way, for the same seeds in the same order.
        confidence: 0 to 1.

    Raises:
        HelpersError: if the two do not have the same number of seeds, or fewer than two.
    """
    if len(ours) != len(theirs):
        raise HelpersError(f"{len(ours)} seeds cannot be paired with {len(theirs)}; measure both with the same seeds")
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    return Comparison(float(np.mean(ours)), float(np.mean(theirs)), interval(differences, confidence))


def over_seeds(run: Callable[[int], float], seeds: Iterable[int]) -> list[float]:
    """`run(seed)` for every seed."""
    return [run(seed) for seed in seeds]
