"""`python -m data.workshop.grid`: measure which strategy serves which amount of data and which domain.

Takes hours, and can be stopped at any time: each finished run is a line in `runs/grid.jsonl`, and each finished cell
stands in `data/grid.json`; a later start goes on from both. Name targets to measure only those, in a second process
beside the first, say. Photos are looked for as `load_task` does; those of a set that is not there are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from data.workshop.grid_runs import SEEDS, SETTINGS, STRATEGIES, TARGETS, TUNING, draw, run
from data.workshop.kept import append_row, machine, read_lines, run_to_the_end, write_rows
from helpers.errors import HelpersError

ROOT = Path(__file__).resolve().parents[2]
RESULTS, KEPT = ROOT / "data" / "grid.json", ROOT / "runs" / "grid.jsonl"
DRAWN, PHOTOS = ("flowers", "slides"), ("ants-bees", "flowers102")
ROUNDS = (
    (DRAWN, (2, 10, 50)),
    (DRAWN, (1, 5, 20, 100)),
    (PHOTOS, (2, 10)),
    (PHOTOS, (20, 50)),
    (PHOTOS, (1, 5)),
    (PHOTOS[:1], (100,)),  # ten species of Flowers-102 do not have so many
)
"""Targets and images per class, in the order in which they are measured: a grid that is not whole is useful too."""

Report = Callable[[str], object]


class Cell(NamedTuple):
    """One field of the grid."""

    target: str
    per_class: int
    strategy: str


class Job(NamedTuple):
    """One run: of a candidate with the seed `TUNING`, or of the chosen candidate with a seed that is tested."""

    cell: Cell
    lr: float
    steps: int
    seed: int


Runs = dict[Job, dict[str, Any]]
"""What `grid_runs.run` gave, and the `machine` it ran on."""


def cells() -> list[Cell]:
    """All cells, the most important first."""
    places = [(target, size) for targets, sizes in ROUNDS for size in sizes for target in targets]
    return [Cell(*place, strategy) for place, strategy in product(places, STRATEGIES)]


def tuning(cell: Cell) -> list[Job]:
    """The runs among which a cell chooses."""
    candidates = STRATEGIES[cell.strategy].candidates(TARGETS[cell.target], cell.per_class)
    return [Job(cell, lr, steps, TUNING) for lr, steps in candidates]


def chosen(cell: Cell, runs: Runs) -> Job | None:
    """The candidate with the best validation accuracy, the first of equals; None before all are measured."""
    jobs = tuning(cell)
    return max(jobs, key=lambda job: runs[job]["accuracy"]) if all(job in runs for job in jobs) else None


def missing(cell: Cell, runs: Runs) -> list[Job]:
    """The runs that a cell still needs and that can be named by now."""
    best = chosen(cell, runs)
    jobs = tuning(cell) if best is None else [best._replace(seed=seed) for seed in SEEDS]
    return [job for job in jobs if job not in runs]


def measure(targets: Sequence[str], kept: Path = KEPT, results: Path = RESULTS, report: Report = print) -> None:
    """Measure every cell of some targets that is not measured yet.

    Args:
        targets: names in `TARGETS`.
        kept: a line of JSON for each finished run, appended at once.
        results: what the lessons and the site read; written anew after each cell.
        report: called with a line of progress after each run.
    """
    found = _available(targets, report)
    wanted = [cell for cell in cells() if cell.target in found]
    began, done = time.monotonic(), 0
    for cell in wanted:
        while jobs := missing(cell, read(kept, results)):
            for job in jobs:
                row = run(*cell, job.lr, job.steps, job.seed)
                append_row(kept, _line(job, row))
                done += 1
                report(_progress(wanted, job, row, read(kept, results), time.monotonic() - began, done))
        write(results, read(kept, results))
    write(results, read(kept, results))


def _available(targets: Sequence[str], report: Report) -> list[str]:
    """The targets whose images and weights are there; the others are reported."""
    found = []
    for name in targets:
        try:
            draw(name, 1, TUNING)
            found.append(name)
        except HelpersError as error:
            report(f"{name} is left out: {error}")
    return found


def _progress(wanted: Sequence[Cell], job: Job, row: dict[str, Any], runs: Runs, seconds: float, done: int) -> str:
    cell = job.cell
    left = len(wanted) * (len(SEEDS) + 4) - sum(each.cell in wanted for each in runs)
    what = "validation" if job.seed == TUNING else f"test, seed {job.seed}"
    hours = left * seconds / done / 3600
    return (
        f"{cell.target}, {cell.per_class} per class, {cell.strategy}, lr {job.lr:g}, {job.steps} steps: "
        f"{what} {row['accuracy']:.1%}, {row['seconds']:.0f} s; {left} runs left, about {hours:.1f} h"
    )


def protocol(target: str) -> str:
    """A short hash of all settings that decide a target's results; runs of another protocol are not used."""
    settings = used_settings(), asdict(TARGETS[target]), {name: plan.rates for name, plan in STRATEGIES.items()}
    return hashlib.sha256(repr((settings, SEEDS, TUNING)).encode()).hexdigest()[:8]


def used_settings() -> dict[str, Any]:
    """Those among `Settings` that the grid's own loop follows."""
    names = ("optimizer", "weight_decay", "batch_size", "augment", "label_smoothing", "views", "precision")
    return {name: getattr(SETTINGS, name) for name in names}


def _line(job: Job, row: dict[str, Any]) -> dict[str, Any]:
    where = {**job.cell._asdict(), "lr": job.lr, "steps": job.steps, "seed": job.seed}
    return where | row | {"machine": machine(), "protocol": protocol(job.cell.target)}


def read(kept: Path, results: Path) -> Runs:
    """All runs so far, of the file of results and of the lines since."""
    runs: Runs = {}
    if results.exists():
        stored = json.loads(results.read_text(encoding="utf-8"))
        for row in stored["cells"]:
            if stored["targets"][row["target"]]["protocol"] == protocol(row["target"]):
                runs |= dict(_runs_of(row))
    for row in read_lines(kept):
        if row["protocol"] == protocol(row["target"]):
            runs[Job(_cell(row), row["lr"], row["steps"], row["seed"])] = row
    return runs


def _cell(row: dict[str, Any]) -> Cell:
    return Cell(row["target"], row["per_class"], row["strategy"])


def _runs_of(row: dict[str, Any]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The runs of a cell as it stands in the file of results."""
    for candidate in row["candidates"]:
        job = Job(_cell(row), candidate["lr"], candidate["steps"], TUNING)
        yield job, {"accuracy": candidate["validation"], "seconds": candidate["seconds"], "scored": row["validated"]}
    for i, seed in enumerate(row["seeds"]):
        job = Job(_cell(row), row["lr"], row["steps"], seed)
        figures = {"accuracy": row["test"][i], "source": row["source"] and row["source"][i], "scored": row["scored"]}
        yield job, figures | {"seconds": row["seconds"][i], "images": row["images"], "machine": row["machine"]}


def write(results: Path, runs: Runs) -> None:
    """Write the file of results: settings, the finished cells a line each, and what is missing."""
    finished = [cell for cell in cells() if not missing(cell, runs)]
    about = {
        "rule": "four candidates for each cell, chosen on validation images with a draw of its own; the chosen one "
        "runs once for each seed, ends with its last weights, and is tested once",
        "varied": "with the seed: the draw of training images, the new head, random weights, order, augmentation",
        "fixed": "validation and test images, pretrained weights",
        "seconds": "processor time of training on one core, without evaluation",
        "settings": used_settings() | {"batch_size": f"{SETTINGS.batch_size}, or all images where there are fewer"},
        "strategies": {
            name: {"rates": plan.rates, "pretrained": plan.pretrained, "longer": plan.longer}
            for name, plan in STRATEGIES.items()
        },
        "sizes": sorted({cell.per_class for cell in cells()}),
        "targets": {
            name: asdict(target) | {"chance": 1 / target.classes, "protocol": protocol(name)}
            for name, target in TARGETS.items()
        },
        "missing": [list(cell) for cell in cells() if cell not in finished],
    }
    write_rows(results, about, "cells", (_row(cell, runs) for cell in finished))


def _row(cell: Cell, runs: Runs) -> dict[str, Any]:
    best = chosen(cell, runs)
    tested = [runs[best._replace(seed=seed)] for seed in SEEDS]
    source = [row["source"] for row in tested]
    return {
        **cell._asdict(),
        "lr": best.lr,
        "steps": best.steps,
        "seeds": SEEDS,
        "test": [row["accuracy"] for row in tested],
        "source": source if None not in source else None,
        "seconds": [row["seconds"] for row in tested],
        "images": tested[0]["images"],
        "scored": tested[0]["scored"],
        "validated": runs[best]["scored"],
        "candidates": [
            {"lr": job.lr, "steps": job.steps, "validation": runs[job]["accuracy"], "seconds": runs[job]["seconds"]}
            for job in tuning(cell)
        ],
        "machine": tested[0]["machine"],
    }


def main() -> None:
    """Measure the targets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    wanted = parser.parse_args().targets or list(TARGETS)
    if not set(wanted) <= set(TARGETS):
        parser.error(f"{' '.join(wanted)}: choose of {', '.join(TARGETS)}")
    run_to_the_end(measure, wanted)


if __name__ == "__main__":
    main()
