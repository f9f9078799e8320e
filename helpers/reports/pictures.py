"""Pictures of a run: learning curves and the confusion matrix, drawn with matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay
from torch import Tensor

from helpers.files import atomic_write

MOST_NUMBERS = 25
"""Classes up to which the cells of a confusion matrix hold their counts."""


def draw_curves(rows: Sequence[dict[str, Any]]) -> Figure:
    """Loss and validation accuracy by epoch; dotted lines where a new phase begins.

    Args:
        rows: of a `History`.
    """
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
        for epoch, row in zip(epochs, rows, strict=True):
            if row["epoch"] == 1 and epoch > 1:
                axes.axvline(epoch - 0.5, color="gray", linestyle=":")
        axes.grid(alpha=0.3)
    return figure


def draw_confusion(confusion: Tensor, classes: Sequence[str]) -> Figure:
    """The confusion matrix: rows are true classes, columns predicted ones; the color is the fraction of the row."""
    side = min(24.0, 2.5 + 0.35 * len(classes))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    counts = confusion.numpy()
    display = ConfusionMatrixDisplay(counts / counts.sum(axis=1, keepdims=True).clip(1), display_labels=classes)
    display.plot(ax=axes, include_values=False, xticks_rotation="vertical", cmap="Blues", colorbar=False)
    display.im_.set_clim(0, 1)
    if len(classes) <= MOST_NUMBERS:
        for row, column in np.ndindex(counts.shape):
            color = "white" if display.confusion_matrix[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(labelsize=9 if len(classes) <= 60 else 5)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as a PNG file; letters that matplotlib's font lacks become boxes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, atomically."""
    content = png(figure)
    atomic_write(path, lambda file: file.write(content))
