"""Which strategy when: reads what `data/grid.json` measured, and derives advice by a rule.

`python -m data.workshop.grid` measures the grid: strategies by images per class and by target, five seeds each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import mean
from typing import Any

from helpers.errors import HelpersError
from helpers.measure import Interval, compare, interval

GRID = Path(__file__).resolve().parents[1] / "data" / "grid.json"

EQUAL = "not distinguishable"

RULE = (
    "best is the highest mean test accuracy; equal to it is every strategy whose paired difference from it has a 95 % "
    "interval that contains zero; the advice is the one of these that took the least processor time"
)


@dataclass(frozen=True)
class Cell:
    """What one strategy reached on one target with so many images per class.

    Attributes:
        target: name of the task.
        per_class: training images of each class.
        strategy: its name.
        lr: the chosen learning rate.
        steps: the chosen length in optimizer steps.
        test: test accuracies, 0 to 1, one per seed.
        seconds: processor time of training, one per seed.
        source: accuracies on the source task with the old head put back, one per seed; None where not measured.
    """

    target: str
    per_class: int
    strategy: str
    lr: float
    steps: int
    test: tuple[float, ...]
    seconds: tuple[float, ...]
    source: tuple[float, ...] | None = None

    @property
    def accuracy(self) -> Interval:
        """Mean test accuracy and its 95 % interval over seeds."""
        return interval(self.test)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Cell:
        """A cell as it stands in `data/grid.json`."""
        values = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@dataclass(frozen=True)
class Grid:
    """What was measured so far.

    Attributes:
        strategies: all names, in the order in which they are shown.
        targets: by name what a target is (`about`, `classes`, `chance`, ...).
        cells: those that are measured.
        missing: (target, images per class, strategy) of those that are not.
    """

    strategies: tuple[str, ...]
    targets: Mapping[str, Mapping[str, Any]]
    cells: tuple[Cell, ...]
    missing: tuple[tuple[str, int, str], ...] = ()

    def of(self, target: str, per_class: int) -> dict[str, Cell]:
        """The measured strategies at one place of the grid, by name."""
        found = {cell.strategy: cell for cell in self.cells if (cell.target, cell.per_class) == (target, per_class)}
        return {name: found[name] for name in self.strategies if name in found}

    def places(self, target: str | None = None) -> list[tuple[str, int]]:
        """The (target, images per class) at which every strategy is measured, few images first."""
        return [
            (name, size)
            for name in self.targets
            if target in (None, name)
            for size in sorted({cell.per_class for cell in self.cells if cell.target == name})
            if len(self.of(name, size)) == len(self.strategies)
        ]

    def images(self, target: str, per_class: int) -> int:
        """Training images of all classes together."""
        return per_class * self.targets[target]["classes"]


def load_grid(path: str | Path = GRID) -> Grid:
    """Read a grid that `python -m data.workshop.grid` wrote, whole or not.

    Raises:
        HelpersError: if the file is missing or damaged.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        cells = tuple(Cell.of(row) for row in stored["cells"])
        missing = tuple((target, size, strategy) for target, size, strategy in stored["missing"])
        return Grid(tuple(stored["strategies"]), stored["targets"], cells, missing)
    except FileNotFoundError as error:
        raise HelpersError(f"{path} is not there; measure it with `make grid`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HelpersError(f"{path} cannot be read as a grid ({error!r}); measure it again with `make grid`") from error


@dataclass(frozen=True)
class Advice:
    """Which strategy to take.

    Attributes:
        best: the one with the highest mean accuracy.
        equal: those not distinguishable from it, itself included, the cheapest first.
    """

    best: Cell
    equal: tuple[Cell, ...]

    @property
    def cheapest(self) -> Cell:
        """The advice."""
        return self.equal[0]


def advise(measured: Mapping[str, Cell]) -> Advice:
    """Choose among strategies measured with the same seeds, by `RULE`.

    Args:
        measured: cells of one place of the grid, by strategy (`Grid.of`).

    Raises:
        HelpersError: if there are none.
    """
    if not measured:
        raise HelpersError("nothing is measured here, so there is no advice; choose one of Grid.places()")
    best = max(measured.values(), key=lambda cell: mean(cell.test))
    equal = [cell for cell in measured.values() if compare(best.test, cell.test).verdict == EQUAL]
    return Advice(best, tuple(sorted(equal, key=lambda cell: mean(cell.seconds))))


@dataclass(frozen=True)
class Table:
    """A table that shows itself in a notebook; the site writes it as Markdown.

    Attributes:
        header: names of the columns.
        rows: their cells as text, each row as long as the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        return "\n".join(" | ".join(row) for row in (self.header, *self.rows))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def markdown(self) -> list[str]:
        """Its lines."""
        return [f"| {' | '.join(row)} |" for row in (self.header, ("---",) * len(self.header), *self.rows)]


def accuracy_table(grid: Grid, target: str) -> Table:
    """Test accuracy in % ± half of its 95 % interval: a row for each strategy, a column for each number of images."""
    return _by_size(grid, target, "test")


def forgetting_table(grid: Grid, target: str) -> Table:
    """Accuracy on the source task with the old head put back, as in `accuracy_table`; no rows where not measured."""
    return _by_size(grid, target, "source")


def _by_size(grid: Grid, target: str, field: str) -> Table:
    sizes = sorted({cell.per_class for cell in grid.cells if cell.target == target})
    places = [grid.of(target, size) for size in sizes]
    shown = [name for name in grid.strategies if field == "test" or any(_values(at, name, field) for at in places)]
    rows = [(name, *(_percent(_values(at, name, field)) for at in places)) for name in shown]
    return Table(("images per class", *map(str, sizes)), tuple(rows))


def _values(place: Mapping[str, Cell], name: str, field: str) -> tuple[float, ...] | None:
    return getattr(place[name], field) if name in place else None


def _percent(values: tuple[float, ...] | None) -> str:
    if values is None:
        return "–"
    found = interval(values)
    return f"{100 * found.mean:.1f} ± {100 * found.half_width:.1f}"


def advice_table(grid: Grid) -> Table:
    """For each place of the grid the best strategy, those not distinguishable from it, and the cheapest of them."""
    rows = []
    for target, size in grid.places():
        found = advise(grid.of(target, size))
        others = ", ".join(cell.strategy for cell in found.equal if cell is not found.best) or "none"
        best = f"{found.best.strategy}, {_percent(found.best.test)}"
        cost = f"{mean(found.cheapest.seconds):.0f} s against {mean(found.best.seconds):.0f} s"
        rows.append((target, str(size), best, others, found.cheapest.strategy, cost))
    header = (
        "target",
        "images per class",
        "best, test accuracy in %",
        "not distinguishable from it",
        "advice",
        "takes",
    )
    return Table(header, tuple(rows))


def missing_table(grid: Grid) -> Table:
    """What is not measured yet: images per class for each target."""
    rows = [
        (name, ", ".join(str(size) for size in sorted({size for target, size, _ in grid.missing if target == name})))
        for name in grid.targets
        if any(target == name for target, _, _ in grid.missing)
    ]
    return Table(("target", "images per class"), tuple(rows))
