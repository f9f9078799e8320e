"""Plots of the grid of strategies; each displays itself at once, `alt` is its alt text, `caption` the line below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course.figures import COLORS, INK, show, style
from course.strategy_table import Grid
from helpers.measure import interval

MARKERS = "osD^vPX"


def accuracy_by_size(grid: Grid, target: str, *, alt: str, caption: str = "") -> None:
    """Test accuracy over images per class, a line for each strategy; bars are 95 % intervals of the mean over seeds."""
    show(accuracy_figure(grid, target), alt, caption)


def forgetting_by_size(grid: Grid, target: str, *, alt: str, caption: str = "") -> None:
    """Accuracy on the source task with the old head put back, over images per class; bars as in `accuracy_by_size`."""
    series = {
        name: {size: cell.source for size, cell in cells.items() if cell.source}
        for name, cells in _by_strategy(grid, target).items()
    }
    show(_lines(series, "source accuracy in %", None), alt, caption)


def accuracy_figure(grid: Grid, target: str) -> Figure:
    """The figure of `accuracy_by_size`, for who wants to save it."""
    series = {
        name: {size: cell.test for size, cell in cells.items()} for name, cells in _by_strategy(grid, target).items()
    }
    return _lines(series, "test accuracy in %", grid.targets[target]["chance"])


def _by_strategy(grid: Grid, target: str) -> dict[str, dict]:
    cells = sorted((cell for cell in grid.cells if cell.target == target), key=lambda cell: cell.per_class)
    return {name: {cell.per_class: cell for cell in cells if cell.strategy == name} for name in grid.strategies}


def _lines(series: Mapping[str, Mapping[int, Sequence[float]]], label: str, chance: float | None) -> Figure:
    sizes = sorted({size for of_one in series.values() for size in of_one})
    with style():
        figure, axis = plt.subplots(figsize=(8, 4))
        drawn = [name for name, of_one in series.items() if of_one]
        for place, name in enumerate(drawn):
            found = [interval(values) for values in series[name].values()]
            x = np.array(list(series[name])) * 1.035 ** (place - (len(drawn) - 1) / 2)  # side by side, not on top
            mean, half = ([100 * getattr(each, key) for each in found] for key in ("mean", "half_width"))
            color = (*COLORS, INK)[place % 7]
            axis.errorbar(x, mean, yerr=half, color=color, marker=MARKERS[place % 7], capsize=3, label=name)
        if chance is not None:
            axis.axhline(100 * chance, color=INK, linestyle=":", label="chance")
        axis.set(xlabel="training images per class", ylabel=label, xscale="log")
        axis.set_xticks(sizes, sizes)
        axis.minorticks_off()
        figure.legend(loc="outside right center", frameon=False)
    return figure
