"""Every image of the course, in one style: few colors, direct labels, readable on light and dark pages."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from helpers.errors import HelpersError
from helpers.measure import interval

if TYPE_CHECKING:
    from helpers.data.preprocessing import Preprocessing

# Okabe and Ito, "Color Universal Design" (2008): told apart by all kinds of color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
FROZEN, LEARNING, NEW = "#9DB4C8", "#E69F00", "#009E73"
INK, PAPER = "#22303C", "#FFFFFF"
MOST_BYTES = 150_000

_STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "image.interpolation": "nearest",
}


@contextmanager
def style() -> Iterator[None]:
    """The course's style, for figures made within."""
    with mpl.rc_context(_STYLE):
        yield


@dataclass(frozen=True)
class Image:
    """A finished figure that shows itself in a notebook, with words for those who cannot see it."""

    png: bytes
    alt: str

    def __repr__(self) -> str:
        return f"[image: {self.alt}]"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}
        return data, {"image/png": {"alt": self.alt}}


def show(figure: Figure, alt: str) -> None:
    """Display a figure and close it.

    Args:
        figure: what to show.
        alt: what it shows and says, in a sentence or two.

    Raises:
        HelpersError: without such words, or for an image over 150 kB.
    """
    from IPython.display import display

    if not alt.strip():
        raise HelpersError("an image needs alt text; say in a sentence what it shows")
    png = _png(figure)
    plt.close(figure)
    if len(png) > MOST_BYTES:
        raise HelpersError(f"this image has {len(png)} bytes, over {MOST_BYTES}; make it smaller or simpler")
    display(Image(png, alt))


def _png(figure: Figure) -> bytes:
    """As it is, or with 256 colors where it would be large."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png", metadata={"Software": None})
    if buffer.tell() <= MOST_BYTES:
        return buffer.getvalue()
    smaller = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256).save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def restored(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalized images (N, 3, H, W) back in the range 0 to 1."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images * std + mean).clamp(0, 1)


def grid(images: Tensor | Sequence[Tensor], titles: Sequence[str] | None = None, columns: int = 8) -> Figure:
    """Images (N, 3, H, W), uint8 or 0 to 1, in rows of `columns`."""
    rows = -(-len(images) // columns)
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(9, rows * (9 / columns + (0.3 if titles else 0))), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
            axis.imshow(np.asarray(image.permute(1, 2, 0)))
            if titles:
                axis.set_title(titles[number], fontsize=8)
    return figure


def intervals(results: Mapping[str, Sequence[float]], label: str = "test accuracy in %") -> Figure:
    """One row a name: a dot for each seed (shares, 0 to 1), the mean and its 95 % interval."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.8 + 0.5 * len(results)))
        for row, values in enumerate(results.values()):
            color, found = COLORS[row % len(COLORS)], interval(values)
            axis.plot(100 * np.asarray(values), [row + 0.16] * len(values), "o", color=color, alpha=0.45, markersize=5)
            axis.errorbar(100 * found.mean, row, xerr=100 * found.half_width, fmt="D", color=color, capsize=4)
            axis.annotate(
                f"{100 * found.mean:.1f}",
                (100 * found.mean, row - 0.18),
                ha="center",
                va="top",
                fontsize=9,
                color=INK,
            )
        axis.set(yticks=range(len(results)), yticklabels=list(results), ylim=(-0.7, len(results) - 0.4), xlabel=label)
    return figure


def curves(
    x: Sequence[float], series: Mapping[str, Sequence[Sequence[float]]], xlabel: str, ylabel: str = "test accuracy in %"
) -> Figure:
    """Lines over x, each named at its end; for every x the shares of several seeds, drawn as mean and 95 % band.

    Args:
        x: places, ascending.
        series: by name, for every x a list of shares (0 to 1).
        xlabel: what x is.
        ylabel: what the shares are.
    """
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 3.6))
        for (name, values), color in zip(series.items(), COLORS, strict=False):
            found = [interval(of_one) for of_one in values]
            mean = np.array([100 * one.mean for one in found])
            half = np.array([100 * one.half_width for one in found])
            axis.plot(x, mean, "o-", color=color)
            axis.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
            axis.annotate(name, (x[-1], mean[-1]), xytext=(8, 0), textcoords="offset points", va="center", color=color)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.margins(x=0.02)
    return figure


def bars(values: Mapping[str, float], label: str, colors: Sequence[str] | None = None, form: str = "{:.2f}") -> Figure:
    """Horizontal bars, the first on top, each with its value at its end."""
    with style():
        figure, axis = plt.subplots(figsize=(7.5, 0.7 + 0.34 * len(values)))
        drawn = axis.barh(list(values), list(values.values()), color=colors or COLORS[0])
        axis.bar_label(drawn, [form.format(value) for value in values.values()], padding=4, fontsize=9)
        axis.invert_yaxis()
        axis.set_xlabel(label)
        axis.margins(x=0.12)
    return figure


def confusion(counts: Tensor, classes: Sequence[str]) -> Figure:
    """How often images of a class (rows) were given a name (columns); counts (C, C)."""
    with style():
        figure, axis = plt.subplots(figsize=(1.8 + 0.62 * len(classes), 1.4 + 0.5 * len(classes)))
        axis.imshow(counts, cmap="Blues", aspect="auto")
        for (row, column), count in np.ndenumerate(counts.numpy()):
            ink = "white" if count > 0.6 * int(counts.max()) else INK
            axis.text(column, row, f"{count:g}", ha="center", va="center", color=ink, fontsize=9)
        places = range(len(classes))
        axis.set(xticks=places, yticks=places, yticklabels=classes, xlabel="named", ylabel="true")
        axis.set_xticks(places, classes, rotation=30, ha="right")
    return figure


def stage_image(names: Sequence[str], learning: Sequence[str] = (), new: Sequence[str] = ()) -> Figure:
    """A network as a row of boxes from image to answer: what is frozen, what learns, what is new."""
    with style():
        figure, axis = plt.subplots(figsize=(8.5, 1.7))
        for place, name in enumerate(names):
            color = NEW if name in new else LEARNING if name in learning else FROZEN
            _box(axis, place, name, color)
            axis.annotate("", (place + 0.02, 0.5), (place - 0.18, 0.5), arrowprops={"arrowstyle": "->", "color": INK})
        axis.text(-0.22, 0.5, "image", ha="right", va="center")
        axis.annotate(
            "", (len(names) + 0.02, 0.5), (len(names) - 0.18, 0.5), arrowprops={"arrowstyle": "->", "color": INK}
        )
        axis.text(len(names) + 0.06, 0.5, "answer", ha="left", va="center")
        kinds = [("kept as it is", FROZEN), *([("learns", LEARNING)] if learning else []), ("new, and learns", NEW)]
        for place, (word, color) in enumerate(kinds):
            axis.text(1.9 * place + 0.2, -0.25, "■ ", color=color, fontsize=14, va="center")
            axis.text(1.9 * place + 0.42, -0.25, word, va="center")
        axis.set(xlim=(-1, len(names) + 0.9), ylim=(-0.5, 1.05))
        axis.axis("off")
    return figure


def _box(axis: Axes, place: float, name: str, color: str) -> None:
    axis.add_patch(plt.Rectangle((place + 0.02, 0.12), 0.78, 0.76, facecolor=color, edgecolor=INK))
    axis.text(place + 0.41, 0.5, name, ha="center", va="center", fontsize=9)
