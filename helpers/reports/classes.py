"""Recall and precision of each class with confidence intervals, the majority share, classes never predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.metrics import precision_recall_fscore_support

from helpers.measure import proportion_interval
from helpers.training.evaluation import Scores

LONGEST_TABLE = 40
"""Classes that are printed at most."""


def figures_of(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """What a classifier reaches, as JSON can hold it.

    Returns:
        `images`, `accuracy` and its 95 % `interval` (Wilson); `majority_share`, what naming the largest class would
        reach; `per_class`, dictionaries with `name`, `images`, `predicted` (how often), `recall`, `recall_interval`,
        `precision` and `precision_interval`, None where there is nothing to divide by.
    """
    labels, predictions = scores.labels.numpy(), scores.predictions.numpy()
    precision, recall, _, images = precision_recall_fscore_support(
        labels, predictions, labels=range(len(classes)), zero_division=0
    )
    predicted = torch.bincount(scores.predictions, minlength=len(classes))
    table = zip(classes, images.tolist(), predicted.tolist(), recall.tolist(), precision.tolist(), strict=True)
    rows = []
    for name, n, m, r, p in table:
        row = {"name": name, "images": n, "predicted": m}
        for measure, value, count in (("recall", r, n), ("precision", p, m)):
            row[measure] = value if count else None
            row[f"{measure}_interval"] = proportion_interval(round(value * count), count) if count else None
        rows.append(row)
    share = int(images.max()) / len(labels)
    known = {"images": len(labels), "accuracy": scores.accuracy, "interval": scores.interval(), "majority_share": share}
    return {**known, "per_class": rows}


def never_predicted(figures: dict[str, Any]) -> list[str]:
    """Names of the classes that have images and are never predicted."""
    return [row["name"] for row in figures["per_class"] if row["images"] and not row["predicted"]]


def describe_outcome(figures: dict[str, Any]) -> str:
    """The accuracy and what it is to be compared with, in one line."""
    accuracy, largest = percent(figures["accuracy"], figures["interval"]), figures["majority_share"]
    return f"accuracy {accuracy} on {figures['images']} images; always naming the largest class reaches {largest:.1%}"


def describe_classes(figures: dict[str, Any]) -> str:
    """The outcome, and a table with a row for each class, those with the lowest recall first."""
    rows = sorted(figures["per_class"], key=lambda row: (row["recall"] is None, row["recall"]))[:LONGEST_TABLE]
    width = max(len("class"), *(len(row["name"]) for row in rows))
    lines = [f"{'class'.ljust(width)}  images  {'recall, 95 % interval'.ljust(22)}  precision"]
    for row in rows:
        recall, precision = (percent(row[each], row[f"{each}_interval"]) for each in ("recall", "precision"))
        lines.append(f"{row['name'].ljust(width)}  {row['images']:6d}  {recall.ljust(22)}  {precision}")
    return "\n".join([describe_outcome(figures), *lines])


def percent(value: float | None, interval: tuple[float, float] | None) -> str:
    """A fraction and its interval in percent; "-" for None."""
    return "-" if value is None else f"{value:.1%} ({interval[0]:.0%} to {interval[1]:.0%})"
