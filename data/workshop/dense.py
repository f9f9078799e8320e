"""`python -m data.workshop.dense`: measure the embedded backbone under a segmenter and a detector, and from scratch.

Takes ten minutes, and can be stopped at any time: each finished run is a line in `runs/dense.jsonl` and stands in
`data/dense.json`; a later start goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from course.dense import (
    detect,
    detector,
    draw_scenes,
    mean_ap,
    mean_iou,
    new_backbone,
    segment,
    segmenter,
    train_detector,
    train_segmenter,
)
from data.workshop.kept import append_row, machine, read_rows, run_to_the_end, write_rows

ROOT = Path(__file__).resolve().parents[2]
RESULTS, KEPT = ROOT / "data" / "dense.json", ROOT / "runs" / "dense.jsonl"
SEEDS, TUNING, FIRST_SEED = (0, 1, 2, 3, 4), 100, 3000
SETTINGS = {"species": 4, "size": 64, "train": 64, "test": 100, "epochs": {"segmentation": 20, "detection": 30}}
RATES = (1e-3, 3e-3)
STARTS = ("pretrained", "from scratch")


class Job(NamedTuple):
    """One run: of a rate with the seed `TUNING`, or of the chosen rate with a seed that is tested."""

    task: str
    start: str
    lr: float
    seed: int


PLACES = [(task, start) for task in SETTINGS["epochs"] for start in STARTS]
Runs = dict[Job, dict[str, Any]]


def run(job: Job) -> dict[str, Any]:
    """Train once and score on images of a draw of its own."""
    species, size, classes = SETTINGS["species"], SETTINGS["size"], SETTINGS["species"] + 1
    scenes = draw_scenes(SETTINGS["train"], species, size, FIRST_SEED + 2 * job.seed)
    test = draw_scenes(SETTINGS["test"], species, size, FIRST_SEED + 2 * job.seed + 1)
    backbone = new_backbone(job.start == "pretrained", job.seed)
    options = {"epochs": SETTINGS["epochs"][job.task], "lr": job.lr, "seed": job.seed}
    torch.manual_seed(job.seed)
    began = time.process_time()
    if job.task == "segmentation":
        model = segmenter(backbone, classes)
        train_segmenter(model, scenes, backbone.preprocessing, **options)
        seconds = time.process_time() - began
        scores = {"iou": mean_iou(segment(model, test.images, backbone.preprocessing), test.classes, classes)}
    else:
        model = detector(backbone, classes, size)
        train_detector(model, scenes, **options)
        seconds = time.process_time() - began
        scores = mean_ap(detect(model, test.images), test.targets)
    return {name: round(value, 4) for name, value in scores.items()} | {"seconds": round(seconds, 1)}


def chosen(task: str, start: str, runs: Runs) -> float | None:
    """The rate with the better validation score; None before both are measured."""
    jobs = [Job(task, start, lr, TUNING) for lr in RATES]
    if not all(job in runs for job in jobs):
        return None
    return max(jobs, key=lambda job: score(runs[job])).lr


def score(row: dict[str, Any]) -> float:
    """What a task is judged by."""
    return row["iou"] if "iou" in row else row["map"]


def missing(task: str, start: str, runs: Runs) -> list[Job]:
    """The runs that are still needed and that can be named by now."""
    lr = chosen(task, start, runs)
    jobs = (
        [Job(task, start, rate, TUNING) for rate in RATES] if lr is None else [Job(task, start, lr, s) for s in SEEDS]
    )
    return [job for job in jobs if job not in runs]


def protocol() -> str:
    """A short hash of all settings; runs of another protocol are measured again."""
    return hashlib.sha256(repr((SETTINGS, RATES, SEEDS, TUNING, FIRST_SEED)).encode()).hexdigest()[:8]


def read(kept: Path, results: Path) -> Runs:
    """All runs so far, of the file of results and of the lines since."""
    rows = read_rows(kept, results, "runs")
    return {Job(*(row[name] for name in Job._fields)): row for row in rows if row["protocol"] == protocol()}


def measure(kept: Path = KEPT, results: Path = RESULTS, report: Callable[[str], object] = print) -> None:
    """Measure every run that is not measured yet.

    Args:
        kept: a line of JSON for each finished run, appended at once.
        results: what the lesson reads.
        report: called with a line of progress after each run.
    """
    for place in PLACES:
        while jobs := missing(*place, read(kept, results)):
            for job in jobs:
                row = job._asdict() | run(job) | {"protocol": protocol(), "machine": machine()}
                append_row(kept, row)
                report(json.dumps(row))
        write(results, read(kept, results))


def write(results: Path, runs: Runs) -> None:
    """Write the file of results: settings, versions, what is missing, and the runs, a line each."""
    about = {
        "rule": "the rate is chosen for each start on images of a draw of its own; the chosen one runs once per seed",
        "varied": "with the seed: training and test images, head, order, and the weights from scratch",
        "settings": SETTINGS,
        "rates": RATES,
        "seeds": SEEDS,
        "tuning": TUNING,
        "versions": {name: metadata.version(name) for name in ("torchmetrics", "torchvision")},
        "missing": [place for place in PLACES if missing(*place, runs)],
    }
    write_rows(results, about, "runs", runs.values())


if __name__ == "__main__":
    run_to_the_end(measure)
