"""Plots of a finished project; each displays itself at once, `alt` is its alt text, `caption` the line below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from course.figures import COLORS, INK, show, style
from helpers.measure import compare
from helpers.training.evaluation import Scores

VERDICT_COLORS = {"better": COLORS[2], "worse": COLORS[1], "not distinguishable": "#7A8793"}


def differences(
    results: Mapping[str, Sequence[float]], baseline: Sequence[float], *, alt: str, caption: str = ""
) -> None:
    """Paired differences in accuracy from a baseline, in points, by what was switched on: dots, mean, 95 % interval."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.9 + 0.42 * len(results)))
        for row, values in enumerate(results.values()):
            found = compare(values, baseline)
            color = VERDICT_COLORS[found.verdict]
            points = 100 * (np.asarray(values) - np.asarray(baseline))
            axis.plot(points, [row + 0.18] * len(points), "o", color=color, alpha=0.45, markersize=4)
            mean, half = 100 * found.difference.mean, 100 * found.difference.half_width
            axis.errorbar(mean, row, xerr=half, fmt="D", color=color, capsize=4)
        axis.axvline(0, color=INK, linewidth=1)
        axis.set(yticks=range(len(results)), yticklabels=list(results), xlabel="points of accuracy gained or lost")
        axis.invert_yaxis()
        for name, color in VERDICT_COLORS.items():
            axis.plot([], [], "D", color=color, label=name)
        figure.legend(loc="outside upper right", ncols=3, frameon=False)
    show(figure, alt, caption)


def confusion(scores: Scores, classes: Sequence[str], *, alt: str, caption: str = "") -> None:
    """The confusion matrix in percent of each true class (rows); names are left out where there are too many."""
    counts = scores.confusion.float()
    percent = 100 * counts / counts.sum(1, keepdim=True).clamp(min=1)
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 6.8))
        image = axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        if len(classes) <= 30:
            places = range(len(classes))
            axis.set_xticks(places, classes, rotation=90, fontsize=8)
            axis.set_yticks(places, classes, fontsize=8)
        axis.set(xlabel="predicted", ylabel="true")
        figure.colorbar(image, label="% of the images of the true class", shrink=0.7)
    show(figure, alt, caption)


def per_class(rows: Sequence[Mapping[str, Any]], most: int = 24, *, alt: str, caption: str = "") -> None:
    """Recall of each class with its Wilson interval, the lowest on top; of more than `most` classes the lowest.

    The rows are `per_class` of `helpers.reports.classes.figures_of`.
    """
    found = sorted((row for row in rows if row["images"]), key=lambda row: row["recall"])[:most]
    recall = 100 * np.array([row["recall"] for row in found])
    low, high = 100 * np.array([row["recall_interval"] for row in found]).T
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.8 + 0.24 * len(found)))
        errors = np.maximum(0, [recall - low, high - recall])
        axis.errorbar(recall, range(len(found)), xerr=errors, fmt="o", color=COLORS[0], capsize=3, markersize=5)
        axis.set_yticks(range(len(found)), [row["name"] for row in found], fontsize=9)
        axis.set(xlabel="recall in %", xlim=(0, 102))
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
    show(figure, alt, caption)


def reliability(bins: Mapping[str, Sequence[tuple[float, float, int]]], *, alt: str, caption: str = "") -> None:
    """Reliability diagrams side by side: in each bin mean confidence, accuracy (0 to 1), and how many images it holds.

    The area of a point is the number of its images; on the diagonal confidence is accuracy.
    """
    with style():
        figure, axes = plt.subplots(1, len(bins), figsize=(3.9 * len(bins), 3.6), sharey=True, squeeze=False)
        for axis, (title, found) in zip(axes[0], bins.items(), strict=True):
            confidence, accuracy, count = np.array(found, dtype=float).T
            axis.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=":")
            axis.plot(100 * confidence, 100 * accuracy, color=COLORS[0], linewidth=1)
            axis.scatter(100 * confidence, 100 * accuracy, s=6 + 500 * count / count.sum(), color=COLORS[0], alpha=0.7)
            axis.set(title=title, xlabel="mean confidence in %", xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
        axes[0][0].set_ylabel("accuracy in %")
    show(figure, alt, caption)


def embedding_map(
    points: NDArray, labels: Tensor, classes: Sequence[str], groups: Sequence[str], *, alt: str, caption: str = ""
) -> None:
    """A map (N, 2) of embeddings: a color for each group of classes, a name at the middle of each class.

    Labels (N,) are indices into `classes`; `groups` has one name for each class, for instance its genus. Of more than
    30 classes none is written, of more than six groups none is named.
    """
    names = list(dict.fromkeys(groups))
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 6))
        for k, group in enumerate(groups):
            own = points[(labels == k).numpy()]
            place = names.index(group)
            axis.scatter(*own.T, s=14, color=COLORS[place % len(COLORS)], alpha=0.55, linewidths=0)
            if len(classes) <= 30 and len(own):
                word = classes[k].removesuffix(f" {group}")
                box = {"facecolor": "white", "alpha": 0.65, "pad": 0.8, "edgecolor": "none"}
                axis.annotate(word, np.median(own, axis=0), fontsize=7.5, ha="center", va="center", bbox=box)
        for place, group in enumerate(names if len(names) <= len(COLORS) else ()):
            axis.scatter([], [], s=30, color=COLORS[place], label=group)
        axis.set(xticks=[], yticks=[])
        if axis.get_legend_handles_labels()[0]:
            figure.legend(loc="outside right upper", frameon=False)
    show(figure, alt, caption)


def histograms(values: Mapping[str, Sequence[float]], label: str, mark: float, *, alt: str, caption: str = "") -> None:
    """Histograms of fractions (0 to 1) one above the other, each as a share of its own images; `mark` is dotted."""
    with style():
        figure, axes = plt.subplots(len(values), 1, figsize=(7.5, 1 + 0.95 * len(values)), sharex=True, squeeze=False)
        for axis, (name, found), color in zip(axes[:, 0], values.items(), COLORS, strict=False):
            axis.hist(
                100 * np.asarray(found),
                bins=np.linspace(0, 100, 26),
                color=color,
                weights=[1 / len(found)] * len(found),
            )
            axis.axvline(100 * mark, color=INK, linestyle=":")
            axis.set(yticks=[])
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axes[-1, 0].set(xlabel=label, xlim=(0, 100))
    show(figure, alt, caption)


def heated(images: Tensor, maps: Tensor | None) -> list[Tensor]:
    """Images (N, 3, H, W), 0 to 1, in gray with Grad-CAM's maps (N, H, W) in color over them; as they are for None."""
    if maps is None:
        return list(images)
    colors = torch.tensor(colormaps["jet"](maps.numpy())[..., :3]).permute(0, 3, 1, 2).float()
    return list((images.mean(1, keepdim=True) + colors) / 2)
