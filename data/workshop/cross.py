"""`python -m data.workshop.cross`: measure pretrained networks against targets and image sizes, with frozen features.

Of each network the features of every stage are taken once; a linear probe says what they are worth, and
transferability scores guess it. Takes twenty minutes, and can be stopped at any time: each finished cell is a line in
`runs/models.jsonl` and stands in `data/models.json`; a later start goes on from there. Networks whose package is not
installed, and photos that are not there, are left out and named.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course.activations import probe, stage_features
from course.model_table import MEASURED, multiply_adds
from course.transferability import h_score, log_me
from data.workshop.grid_runs import draw as photos
from data.workshop.kept import append_row, machine, read_rows, run_to_the_end, write_rows
from drawn import flowers, slides
from helpers.data.loaders import make_loaders
from helpers.data.transforms import normalize, resize
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.stages import head

KEPT = Path(__file__).resolve().parents[2] / "runs" / "models.jsonl"
SEEDS = (0, 1, 2, 3, 4)
FIRST_SEED = 2000
"""Seed 0 draws training images with this seed and test images with the next one, seed 1 with the two after them."""


@dataclass(frozen=True)
class Source:
    """Where a network's weights come from.

    Attributes:
        backbone: for `load_backbone`.
        weights: "DEFAULT" or None.
        about: what it learned from, in a phrase.
    """

    backbone: str
    weights: str | None
    about: str


@dataclass(frozen=True)
class Target:
    """What the features have to serve.

    Attributes:
        about: what it is, in a phrase.
        classes: how many.
        train_per_class: images of each class that a probe learns from.
        test_per_class: new images of each class for every seed; None for photos, whose test images are fixed.
    """

    about: str
    classes: int
    train_per_class: int
    test_per_class: int | None = None


class Cell(NamedTuple):
    """A network on a target: images `drawn` pixels wide (0: photos), enlarged or shrunk to `input` pixels."""

    source: str
    target: str
    drawn: int
    input: int


SOURCES = {
    "embedded": Source("embedded", "DEFAULT", "1,000 drawn classes, 64 px"),
    "embedded, random": Source("embedded", None, "nothing"),
    "lite0": Source("efficientnet_lite0", "DEFAULT", "ImageNet, 224 px"),
    "lite0, random": Source("efficientnet_lite0", None, "nothing"),
    "lite1": Source("efficientnet_lite1", "DEFAULT", "ImageNet, 240 px"),
    "lite2": Source("efficientnet_lite2", "DEFAULT", "ImageNet, 260 px"),
}
TARGETS = {
    "flowers": Target("drawn flowers", 10, 10, 20),
    "slides": Target("drawn slides", 4, 25, 50),
    "ants-bees": Target("photos of ants and bees, tested on its validation photos", 2, 20),
    "flowers102": Target("photos of the ten species that have most in Flowers-102, stored at 64 px", 10, 10),
}
DRAWN, PHOTOS = ("flowers", "slides"), ("ants-bees", "flowers102")
MAIN, LARGER = ("embedded", "lite0", "embedded, random", "lite0, random"), ("lite1", "lite2")

PLAN = [
    *[Cell(s, t, 64, 64) for s in MAIN for t in DRAWN],
    *[Cell(s, t, 128, 128) for s in MAIN for t in DRAWN],
    *[Cell(s, t, 64, 128) for s in MAIN[:2] for t in DRAWN],
    *[Cell(s, t, 0, 64) for s in MAIN[:2] for t in PHOTOS],
    *[Cell(s, t, 0, 128) for s in MAIN for t in PHOTOS],
    *[Cell(s, t, 128, 128) for s in LARGER for t in DRAWN],
    *[Cell(s, t, 0, 128) for s in LARGER for t in PHOTOS],
    *[Cell(s, t, 32, 32) for s in MAIN[:2] for t in DRAWN],
    *[Cell(s, t, 64, 64) for s in LARGER for t in DRAWN],
    Cell("lite0", "ants-bees", 0, 224),
]
"""What is measured, the most important first."""

Images = Iterator[tuple[Tensor, Tensor]]
Report = Callable[[str], object]


@cache
def network(name: str) -> nn.Module:
    """A source, in eval mode; random weights come from seed 0.

    Raises:
        HelpersError: if its package is not installed.
    """
    torch.manual_seed(0)
    return load_backbone(SOURCES[name].backbone, SOURCES[name].weights).eval()


def drawn_images(cell: Cell, seed: int, test: bool) -> tuple[Tensor, Tensor]:
    """Images (N, 3, input, input), normalized for the network, and their labels."""
    target, preprocessing = TARGETS[cell.target], network(cell.source).preprocessing
    draw = {"flowers": flowers.draw, "slides": slides.draw}[cell.target]
    labels = torch.arange(target.classes).repeat(target.test_per_class if test else target.train_per_class)
    images = draw(labels.tolist(), cell.drawn, FIRST_SEED + 2 * seed + test)
    return normalize(resize(images, cell.input, cell.input, preprocessing.interpolation), preprocessing), labels


def photo_images(cell: Cell, seed: int, test: bool) -> tuple[Tensor, Tensor]:
    """The same of photos; the central square is taken."""
    own = network(cell.source).preprocessing
    task = photos(cell.target, TARGETS[cell.target].train_per_class, seed)
    loaders = make_loaders(task, replace(own, image_size=cell.input, resize_size=cell.input))
    images, labels = zip(*(loaders.test if test else loaders.plain), strict=True)
    return torch.cat(images), torch.cat(labels)


def features(cell: Cell, seed: int, test: bool) -> tuple[dict[str, Tensor], Tensor]:
    """Pooled features of every stage (N, channels), and labels (N,)."""
    images, labels = (drawn_images if cell.drawn else photo_images)(cell, seed, test)
    return stage_features(network(cell.source), images, 50), labels


def run(cell: Cell) -> dict[str, Any]:
    """Measure one cell: of every stage its probe's test accuracies and its scores, one per seed; and seconds."""
    seconds = dict.fromkeys(("features", "probe", "log_me", "h_score"), 0.0)
    found: dict[str, dict[str, Any]] = {}

    def timed(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        result = function(*arguments)
        seconds[what] += time.process_time() - began
        return result

    fixed = None if cell.drawn else features(cell, 0, True)
    for seed in SEEDS:
        train, labels = timed("features", features, cell, seed, False)
        test, test_labels = fixed or features(cell, seed, True)
        for stage, inputs in train.items():
            row = found.setdefault(stage, {"width": inputs.shape[1], "accuracy": [], "log_me": [], "h_score": []})
            accuracy = timed("probe", probe, inputs, labels, test[stage], test_labels)
            row["accuracy"].append(round(accuracy, 4))
            row["log_me"].append(round(timed("log_me", log_me, inputs, labels), 4))
            row["h_score"].append(round(timed("h_score", h_score, inputs, labels), 4))
    model = network(cell.source)
    body = sum(each.numel() for each in model.parameters()) - sum(each.numel() for each in head(model).parameters())
    return {
        "parameters": body,
        "multiply_adds": multiply_adds(model, cell.input),
        "images": len(labels),
        "scored": len(test_labels),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "stages": found,
    }


def protocol(cell: Cell) -> str:
    """A short hash of all settings that decide a cell; results of another protocol are measured again."""
    settings = asdict(SOURCES[cell.source]), asdict(TARGETS[cell.target]), SEEDS, FIRST_SEED
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:8]


def read(kept: Path, results: Path) -> dict[Cell, dict[str, Any]]:
    """All cells so far, of the file of results and of the lines since."""
    rows = read_rows(kept, results, "cells")
    cells = {Cell(*(row[name] for name in Cell._fields)): row for row in rows}
    return {cell: cells[cell] for cell in PLAN if cell in cells and cells[cell]["protocol"] == protocol(cell)}


def measure(kept: Path = KEPT, results: Path = MEASURED, report: Report = print) -> None:
    """Measure every cell that is not measured yet.

    Args:
        kept: a line of JSON for each finished cell, appended at once.
        results: what the lesson reads; written anew after each cell.
        report: called with a line of progress after each cell.
    """
    for cell in PLAN:
        if cell in read(kept, results):
            continue
        try:
            row = run(cell)
        except HelpersError as error:
            report(f"{', '.join(map(str, cell))} is left out: {error}")
            continue
        append_row(kept, cell._asdict() | row | {"protocol": protocol(cell), "machine": machine()})
        write(results, read(kept, results))
        best = max(row["stages"].items(), key=lambda stage: sum(stage[1]["accuracy"]))
        report(f"{', '.join(map(str, cell))}: best at {best[0]}, {best[1]['accuracy']}; {row['seconds']}")
    write(results, read(kept, results))


def write(results: Path, cells: dict[Cell, dict[str, Any]]) -> None:
    """Write the file of results: settings, versions, what is missing, and the cells, a line each."""
    about = {
        "rule": "frozen networks in eval mode; each stage's output is averaged over all positions and standardized; a "
        "linear probe (logistic regression, C = 1) learns from the training images and is tested once",
        "varied": "with the seed: training and test images (drawn), training images (photos)",
        "fixed": "weights, random ones included; test images (photos)",
        "seconds": "processor time on one core, all seeds and stages together",
        "sources": {name: asdict(source) for name, source in SOURCES.items()},
        "targets": {name: asdict(target) | {"chance": 1 / target.classes} for name, target in TARGETS.items()},
        "versions": {name: metadata.version(name) for name in ("timm", "scikit-learn")},
        "seeds": SEEDS,
        "missing": [cell for cell in PLAN if cell not in cells],
    }
    write_rows(results, about, "cells", cells.values())


if __name__ == "__main__":
    run_to_the_end(measure)
