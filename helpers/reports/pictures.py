"""Pictures of a run: learning curves and the confusion matrix, drawn with matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from helpers.training.evaluation import Scores

MOST_NUMBERS = 25
"""Classes up to which the cells of a confusion matrix hold their counts."""


def draw_curves(rows: Sequence[dict[str, Any]]) -> bytes:
    """Loss and validation accuracy by epoch, from the rows of a history; dotted lines where a phase begins."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(rows) + 1)
    left.plot(epochs, [row["train_loss"] for row in rows], ".-", label="training (augmented, smoothed labels)")
    left.plot(epochs, [row["val_loss"] for row in rows], ".-", label="validation")
    left.set(xlabel="epoch", ylabel="loss in nats")
    left.legend()
    right.plot(epochs, [100 * row["val_accuracy"] for row in rows], ".-", color="C1")
    right.set(xlabel="epoch", ylabel="validation accuracy in %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        for epoch in (epoch for epoch, row in zip(epochs, rows, strict=True) if row["epoch"] == 1 and epoch > 1):
            axes.axvline(epoch - 0.5, color="gray", linestyle=":")
    return _png(figure)


def draw_confusion(scores: Scores, classes: Sequence[str]) -> bytes:
    """The confusion matrix: rows are true classes, columns predicted ones."""
    side = min(24.0, 2.5 + 0.35 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes, numbers = figure.subplots(), len(classes) <= MOST_NUMBERS
    display = ConfusionMatrixDisplay(scores.confusion.numpy(), display_labels=classes)
    display.plot(ax=axes, include_values=numbers, xticks_rotation="vertical", cmap="Blues", colorbar=False)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(labelsize=9 if len(classes) <= 60 else 5)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # letters that the font lacks become boxes
        figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
