"""Accuracies over several seeds: confidence intervals, paired comparisons, and what may be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit  # scipy.stats has the same and takes a second to import

from helpers.errors import HelpersError


@dataclass(frozen=True)
class Verdict:
    """The answer to a yes-no question about measurements.

    Attributes:
        holds: whether it is true of what was measured.
        evidence: the figures behind it.
    """

    holds: bool
    evidence: str

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval (Student's t).

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

    def above(self, bound: float) -> Verdict:
        """Whether the whole interval lies above a bound (0 to 1)."""
        return Verdict(self.low > bound, str(self))

    def below(self, bound: float) -> Verdict:
        """Whether the whole interval lies below a bound (0 to 1)."""
        return Verdict(self.high < bound, str(self))

    def __str__(self) -> str:
        """In percent: the values are fractions, 0 to 1."""
        return f"{100 * self.mean:.1f} ± {100 * self.half_width:.1f} %, {self.n} seeds"


@dataclass(frozen=True)
class Comparison:
    """Two methods compared seed by seed.

    Attributes:
        ours: mean accuracy of the first, 0 to 1.
        theirs: mean accuracy of the second.
        difference: ours minus theirs with the same seed.
    """

    ours: float
    theirs: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """`"better"`, `"worse"`, or `"not distinguishable"` where the interval contains zero."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "not distinguishable"

    def better_by(self, margin: float = 0.0) -> Verdict:
        """Whether the first is better by more than a margin (0 to 1): the whole interval lies above it."""
        return Verdict(self.difference.low > margin, str(self))

    def worse_by(self, margin: float = 0.0) -> Verdict:
        """Whether the first is worse by more than a margin (0 to 1): the whole interval lies below its negative."""
        return Verdict(self.difference.high < -margin, str(self))

    def within(self, margin: float) -> Verdict:
        """Whether the two differ by less than a margin (0 to 1): the whole interval lies inside it."""
        return Verdict(self.difference.low > -margin and self.difference.high < margin, str(self))

    def __str__(self) -> str:
        """In percent and in percentage points."""
        points, half = 100 * self.difference.mean, 100 * self.difference.half_width
        means = f"{100 * self.ours:.1f} % against {100 * self.theirs:.1f} %"
        return f"{self.verdict}: {means}, {points:+.1f} ± {half:.1f} points, {self.difference.n} paired seeds"


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean and confidence interval of the mean.

    Source: Student, *The probable error of a mean*, Biometrika 6 (1908); quantiles from scipy.

    Args:
        values: two or more, for instance accuracies with several seeds.
        confidence: 0 to 1.

    Raises:
        HelpersError: for fewer than two values, or values that are not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2 or not np.isfinite(values).all():
        raise HelpersError(f"an interval needs two or more finite values, not {values.tolist()}; measure more seeds")
    mean = float(values.mean())
    quantile = float(stdtrit(values.size - 1, (1 + confidence) / 2))
    half = quantile * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Interval(mean, mean - half, mean + half, values.size)


def proportion_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's confidence interval for a proportion, for instance of images classified correctly: low and high, 0 to 1.

    Source: Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, JASA 1927.
    """
    z = float(ndtri((1 + confidence) / 2))
    center = (count + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * math.sqrt(count * (total - count) / total + z**2 / 4)
    return max(0.0, center - half), min(1.0, center + half)


def compare(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Comparison:
    """Compare two methods by their differences seed by seed (paired t interval).

    Args:
        ours: accuracies from 0 to 1, one per seed.
        theirs: those of the other method, with the same seeds in the same order.
        confidence: 0 to 1.

    Raises:
        HelpersError: if the two do not have the same number of seeds, or fewer than two.
    """
    if len(ours) != len(theirs):
        raise HelpersError(f"{len(ours)} seeds cannot be paired with {len(theirs)}; measure both with the same seeds")
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    return Comparison(float(np.mean(ours)), float(np.mean(theirs)), interval(differences, confidence))
