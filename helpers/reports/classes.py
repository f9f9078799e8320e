"""Recall and precision of each class with confidence intervals, the majority share, classes never predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.metrics import precision_recall_fscore_support

from helpers.measure import proportion_interval
from helpers.training.evaluation import Scores

LONGEST_TABLE = 40


def figures_of(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """What a classifier reaches, as JSON can hold it.

    Returns:
        `images`, `accuracy` and its 95 % `interval` (Wilson); `majority_share`, what naming the largest class would
        reach; `per_class`, dictionaries with `name`, `images`, `predicted` (how often), `recall`, `recall_interval`,
        `precision` and `precision_interval`, None where there is nothing to divide by.
    """
    precision, recall, _, images = precision_recall_fscore_support(
        scores.labels.numpy(), scores.predictions.numpy(), labels=range(len(classes)), zero_division=0
    )
    rows = []
    for i, (name, n, m) in enumerate(zip(classes, images.tolist(), scores.confusion.sum(dim=0).tolist(), strict=True)):
        row = {"name": name, "images": n, "predicted": m}
        for measure, value, count in (("recall", recall[i], n), ("precision", precision[i], m)):
            row[measure] = float(value) if count else None
            row[f"{measure}_interval"] = proportion_interval(round(value * count), count) if count else None
        rows.append(row)
    total, share = int(images.sum()), int(images.max()) / int(images.sum())
    accuracy = {"accuracy": scores.accuracy, "interval": scores.interval(), "majority_share": share}
    return {"images": total, **accuracy, "per_class": rows}


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
