"""Plots of the lessons. Each displays itself at once; `alt` is its alt text, `caption` the line below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from torch import Tensor, nn

from course.activations import strongest_channels
from course.figures import COLORS, INK, show, style
from course.messages import say
from helpers.data.preprocessing import Preprocessing
from helpers.measure import interval

FROZEN, TRAINABLE, NEW = "#9DB4C8", "#E69F00", "#009E73"


def restored(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalized images (N, 3, H, W) back in the range 0 to 1."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images * std + mean).clamp(0, 1)


def grid(
    images: Tensor | Sequence[Tensor],
    titles: Sequence[str] = (),
    columns: int = 8,
    rows: Sequence[str] = (),
    *,
    alt: str,
    caption: str = "",
) -> None:
    """Images (3, H, W), uint8 or 0 to 1, in a grid; with titles above each, and names at the left of the rows."""
    if not len(images):
        say("Nothing to show:", "there are no such images here.")
        return
    count = -(-len(images) // columns)
    with style():
        lines = 1 + max((title.count("\n") for title in titles), default=-1)
        size = 9, count * (9 / columns + 0.2 * lines)
        figure, axes = plt.subplots(count, columns, figsize=size, squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, image in zip(axes.flat, images, strict=False):
            axis.imshow(np.asarray(image.permute(1, 2, 0)))
        for axis, title in zip(axes.flat, titles, strict=False):
            axis.set_title(title, fontsize=8)
        for axis, name in zip(axes[:, 0], rows, strict=False):
            axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    show(figure, alt, caption)


def prediction(image: Tensor, probabilities: Mapping[str, float], *, alt: str, caption: str = "") -> None:
    """An image (3, H, W), 0 to 1, and beside it bars of the most probable classes, the highest first."""
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.6), width_ratios=(1, 2))
        left.imshow(np.asarray(image.permute(1, 2, 0)))
        left.axis("off")
        percent = [100 * value for value in probabilities.values()]
        right.bar_label(right.barh(list(probabilities), percent, color=COLORS[0]), fmt="%.0f", padding=4, fontsize=9)
        right.invert_yaxis()
        right.set(xlabel="probability in %", xlim=(0, 100))
    show(figure, alt, caption)


def activations(
    image: Tensor, outputs: Mapping[str, Tensor], channels: int = 6, *, alt: str, caption: str = ""
) -> None:
    """A row for each stage: the image (3, H, W), 0 to 1, then the channels that vary most over the image.

    The outputs are those of `course.activations.stage_outputs` for one image: by stage, (1, C, h, w).
    """
    rows = []
    for output in outputs.values():
        maps = nn.functional.interpolate(strongest_channels(output[0], channels)[:, None], size=image.shape[1:])
        rows += [image, *maps.expand(-1, 3, -1, -1)]
    names = [f"{name}\n{output.shape[2]} × {output.shape[3]}" for name, output in outputs.items()]
    grid(rows, columns=channels + 1, rows=names, alt=alt, caption=caption)


def intervals(
    results: Mapping[str, Sequence[float]],
    label: str = "test accuracy in %",
    limits: tuple[float, float] | None = None,
    *,
    alt: str,
    caption: str = "",
) -> None:
    """Accuracies (0 to 1) of several seeds by method: one dot per seed, the mean and its 95 % interval."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.8 + 0.5 * len(results)))
        for row, values in enumerate(results.values()):
            color, found = COLORS[row % len(COLORS)], interval(values)
            mean, half = 100 * found.mean, 100 * found.half_width
            axis.plot(100 * np.asarray(values), [row + 0.16] * len(values), "o", color=color, alpha=0.45, markersize=5)
            axis.errorbar(mean, row, xerr=half, fmt="D", color=color, capsize=4)
            axis.annotate(f"{mean:.1f}", (mean, row - 0.18), ha="center", va="top", fontsize=9)
        axis.set(yticks=range(len(results)), yticklabels=list(results), ylim=(-0.7, len(results) - 0.4), xlabel=label)
        axis.set(xlim=limits)
    show(figure, alt, caption)


def curves(
    x: Sequence[float] | Sequence[str],
    series: Mapping[str, Sequence[Sequence[float]]],
    xlabel: str,
    chance: float | None = None,
    label: str = "test accuracy in %",
    *,
    alt: str,
    caption: str = "",
) -> None:
    """Accuracy over x, each line named at its end: the mean over seeds, with the 95 % interval of the mean as a band.

    x holds names, or positive numbers for a logarithmic axis; a series has, for every x, the accuracies (0 to 1) of
    several seeds; chance is the accuracy of guessing.
    """
    names = isinstance(x[0], str)
    places = range(len(x)) if names else x
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 3.6))
        for (name, values), color in zip(series.items(), COLORS, strict=False):
            found = [interval(of_one) for of_one in values]
            mean = np.array([100 * one.mean for one in found])
            half = np.array([100 * one.half_width for one in found])
            axis.plot(places, mean, "o-", color=color)
            axis.fill_between(places, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
            at = places[-1], mean[-1]
            axis.annotate(name, at, xytext=(8, 0), textcoords="offset points", va="center", color=color)
        axis.set(xlabel=xlabel, ylabel=label, xscale="linear" if names else "log")
        axis.set_xticks(places, x)
        axis.minorticks_off()
        axis.margins(x=0.02)
        if chance is not None:
            axis.axhline(100 * chance, color=INK, linestyle=":")
            at = places[0], 100 * chance
            axis.annotate("chance", at, xytext=(0, 4), textcoords="offset points")
    show(figure, alt, caption)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    log: bool = False,
    *,
    alt: str,
    caption: str = "",
) -> None:
    """Lines (x, y) by name in a legend; `marks` are named places on x, dotted, each in the color of its line."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 3.2))
        for (name, (x, y)), color in zip(series.items(), COLORS, strict=False):
            axis.plot(x, y, color=color, label=name)
        for (name, place), color in zip((marks or {}).items(), COLORS, strict=False):
            axis.axvline(place, color=color, linestyle=":", label=name)
        axis.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log else "linear")
        figure.legend(loc="outside right center", frameon=False)
    show(figure, alt, caption)


def rates(recorded: Mapping[str, Sequence[Sequence[float]]], groups: Sequence[str], *, alt: str, caption: str) -> None:
    """The learning rate of each parameter group at each step, a panel for each schedule (logarithmic axis)."""
    with style():
        figure, axes = plt.subplots(-(-len(recorded) // 2), 2, figsize=(8.5, 5), sharex=True, sharey=True)
        highest = max(max(step) for steps in recorded.values() for step in steps)
        for axis, (title, steps) in zip(axes.flat, recorded.items(), strict=False):
            for group, color in zip(reversed(range(len(groups))), COLORS, strict=False):
                axis.step(range(1, len(steps) + 1), [step[group] for step in steps], color=color, where="mid")
            axis.set(title=title, yscale="log", ylim=(highest / 1e4, 2 * highest))
        figure.supxlabel("step", fontsize=10)
        figure.supylabel("learning rate", fontsize=10)
        figure.legend(axes.flat[0].lines, reversed(groups), loc="outside right center", frameon=False)
    show(figure, alt, caption)


def scatter(
    groups: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    *,
    alt: str,
    caption: str = "",
) -> None:
    """Points (x, y) of several groups, each with its color and marker, named in a legend."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 3.4))
        for (name, (x, y)), color, marker in zip(groups.items(), COLORS, "osD^vP", strict=False):
            axis.scatter(x, y, color=color, marker=marker, alpha=0.75, label=name)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        figure.legend(loc="outside right center", frameon=False)
    show(figure, alt, caption)


def bars(values: Mapping[str, float], label: str, form: str = "{:.0f}", *, alt: str, caption: str = "") -> None:
    """Horizontal bars, the first on top, each with its value at its end."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.7 + 0.34 * len(values)))
        drawn = axis.barh(list(values), list(values.values()), color=COLORS[0])
        axis.bar_label(drawn, [form.format(value) for value in values.values()], padding=4, fontsize=9)
        axis.invert_yaxis()
        axis.set_xlabel(label)
        axis.margins(x=0.12)
    show(figure, alt, caption)


def stage_row(
    names: Sequence[str], trainable: Sequence[str] = (), new: Sequence[str] = (), *, alt: str, caption: str = ""
) -> None:
    """The stages of a network, from stem to head, as a row of boxes; colored by what is frozen, trainable and new."""
    with style():
        figure, axis = plt.subplots(figsize=(8.5, 1.7))
        for place, name in enumerate(names):
            color = NEW if name in new else TRAINABLE if name in trainable else FROZEN
            _box(axis, place, name, color)
        _arrow(axis, len(names))
        axis.text(-0.22, 0.5, "image", ha="right", va="center")
        axis.text(len(names) + 0.06, 0.5, "scores", ha="left", va="center")
        kinds = [("frozen", FROZEN), *([("trainable", TRAINABLE)] if trainable else []), ("new, trainable", NEW)]
        for place, (word, color) in enumerate(kinds):
            axis.text(1.9 * place + 0.2, -0.25, "■ ", color=color, fontsize=14, va="center")
            axis.text(1.9 * place + 0.42, -0.25, word, va="center")
        axis.set(xlim=(-1, len(names) + 0.9), ylim=(-0.5, 1.05))
        axis.axis("off")
    show(figure, alt, caption)


def _box(axis: Axes, place: float, name: str, color: str) -> None:
    _arrow(axis, place)
    axis.add_patch(plt.Rectangle((place + 0.02, 0.12), 0.78, 0.76, facecolor=color, edgecolor=INK))
    axis.text(place + 0.41, 0.5, name, ha="center", va="center", fontsize=9)


def _arrow(axis: Axes, place: float) -> None:
    axis.annotate("", (place + 0.02, 0.5), (place - 0.18, 0.5), arrowprops={"arrowstyle": "->", "color": INK})
