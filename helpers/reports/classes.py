"""Recall and precision of each class with confidence intervals, the majority share, classes never predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from sklearn.metrics import precision_recall_fscore_support

from helpers.measure import proportion_interval
from helpers.training.evaluation import Scores

LONGEST_TABLE = 40
"""Classes that are printed at most, those with the lowest recall first."""


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is recognized.

    Attributes:
        name: of the class.
        images: how many images of it there are.
        predicted: how often it is predicted.
        recall: fraction of its images that are classified correctly; None without images.
        recall_interval: Wilson's 95 % interval; (0, 1) without images.
        precision: fraction of its predictions that are correct; None where it is never predicted.
        precision_interval: as above.
    """

    name: str
    images: int
    predicted: int
    recall: float | None
    recall_interval: tuple[float, float]
    precision: float | None
    precision_interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def class_figures(scores: Scores, classes: Sequence[str]) -> list[ClassFigures]:
    """Recall and precision of each class (scikit-learn), with Wilson's intervals."""
    labels, predictions = scores.labels.numpy(), scores.predictions.numpy()
    precision, recall, _, images = precision_recall_fscore_support(
        labels, predictions, labels=range(len(classes)), zero_division=0
    )
    predicted = torch.bincount(scores.predictions, minlength=len(classes)).tolist()
    return [
        ClassFigures(name, n, m, r if n else None, _wilson(r, n), p if m else None, _wilson(p, m))
        for name, n, m, r, p in zip(
            classes, images.tolist(), predicted, recall.tolist(), precision.tolist(), strict=True
        )
    ]


def _wilson(fraction: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a fraction of `count` images; (0, 1) where there are none."""
    return proportion_interval(round(fraction * count), count) if count else (0.0, 1.0)


def outcome(scores: Scores) -> dict[str, Any]:
    """Accuracy with its interval, and the share of the largest class, which guessing it always would reach."""
    share = torch.bincount(scores.labels).max().item() / len(scores.labels)
    interval = scores.interval()
    return {"images": len(scores.labels), "accuracy": scores.accuracy, "interval": interval, "majority_share": share}


def never_predicted(figures: Sequence[ClassFigures]) -> list[str]:
    """Names of the classes that have images and are never predicted."""
    return [each.name for each in figures if each.images and not each.predicted]


def describe_outcome(found: dict[str, Any]) -> str:
    """What `outcome` gave, in one line."""
    low, high = found["interval"]
    return (
        f"accuracy {found['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}) on {found['images']} images; "
        f"always naming the largest class would reach {found['majority_share']:.1%}"
    )


def count_of(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 class is", "3 classes are"."""
    return f"{number} {one if number == 1 else many}"


def describe_classes(found: dict[str, Any], figures: Sequence[ClassFigures]) -> str:
    """What `outcome` gave, and a table with a row for each class; of many classes those with the lowest recall."""
    rows = list(figures)
    if len(rows) > LONGEST_TABLE:
        rows = sorted(rows, key=lambda each: (each.recall is None, each.recall))[:LONGEST_TABLE]
    width = max(len("class"), *(len(each.name) for each in rows))
    lines = [f"{'class'.ljust(width)}  images  recall                  precision"]
    for each in rows:
        cells = percent(each.recall, each.recall_interval), percent(each.precision, each.precision_interval)
        lines.append(f"{each.name.ljust(width)}  {each.images:6d}  {cells[0]:22s}  {cells[1]}".rstrip())
    if len(figures) > len(rows):
        lines.append(f"the {len(rows)} of {len(figures)} classes with the lowest recall")
    return "\n".join([describe_outcome(found), *lines])


def percent(value: float | None, interval: tuple[float, float]) -> str:
    """A fraction and its interval in percent; "-" for None."""
    return "-" if value is None else f"{value:6.1%} ({interval[0]:.0%} to {interval[1]:.0%})"
