"""Pictures of a run: learning curves and the confusion matrix, drawn with matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from helpers.training.evaluation import Scores


def draw_curves(rows: Sequence[dict[str, Any]]) -> bytes:
    """Loss and validation accuracy by epoch, from the rows of a history; dotted lines where a phase begins."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    epochs = np.arange(1, len(rows) + 1)
    begins = [epoch - 0.5 for epoch, row in zip(epochs, rows, strict=True) if row["epoch"] == 1 < epoch]
    for axes, columns in zip(figure.subplots(1, 2), (("train_loss", "val_loss"), ("val_accuracy",)), strict=True):
        for column in columns:
            axes.plot(epochs, [row[column] for row in rows], ".-", label=column.replace("_", " "))
        for epoch in begins:
            axes.axvline(epoch, color="gray", linestyle=":")
        axes.set(xlabel="epoch")
        axes.legend()
        axes.grid(alpha=0.3)
    return _png(figure)


def draw_confusion(scores: Scores, classes: Sequence[str]) -> bytes:
    """The confusion matrix: rows are true classes, columns predicted ones."""
    side, numbers = min(24.0, 2.5 + 0.35 * len(classes)), len(classes) <= 25
    figure = Figure(figsize=(side, side), layout="constrained")
    names = [name.encode(errors="backslashreplace").decode().replace("$", r"\$") for name in classes]
    display = ConfusionMatrixDisplay(scores.confusion.numpy(), display_labels=names)
    display.plot(ax=figure.subplots(), include_values=numbers, xticks_rotation="vertical", cmap="Blues", colorbar=False)
    display.ax_.tick_params(labelsize=9 if len(classes) <= 60 else 5)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # letters that the font lacks become boxes
        figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
