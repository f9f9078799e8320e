"""`python -m data.workshop.project`: measure what helps when a pretrained network learns the flowers of lesson 7.

Each switch of training (crops, MixUp, early stopping, image size, ...) is turned on alone and compared with none of
them, seed by seed. Takes an hour, and can be stopped at any time: each finished run is a line in `runs/project.jsonl`,
each finished switch stands in `data/project.json`; a later start goes on from both.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torchvision.transforms import v2

from course.project import MEASURED, drawn_task
from data.workshop.kept import append_row, machine, read_rows, run_to_the_end, write_rows
from drawn import flowers
from helpers.data.augment import Augment
from helpers.data.loaders import make_loaders
from helpers.data.tasks import Task
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.training.evaluation import evaluate
from helpers.training.loop import Settings, train
from helpers.training.strategies import Phase

KEPT = Path(__file__).resolve().parents[2] / "runs" / "project.jsonl"
SEEDS, TUNING, HELD = (1000, 1001, 1002, 1003, 1004), 1100, 1200
"""Seeds of the draws: to compare with, to choose the rate with, and of the images that are scored."""


@dataclass(frozen=True)
class Setup:
    """How a network is trained where no switch is on.

    Attributes:
        backbone: the pretrained network.
        size: side of its input in pixels.
        epochs: passes over 24 species with 10 images each.
        rates: of the pretrained stages, to choose from; the head learns ten times as fast.
    """

    backbone: str
    size: int
    epochs: int
    rates: tuple[float, float] = (3e-4, 1e-3)


@dataclass(frozen=True)
class Switch:
    """What is turned on.

    Attributes:
        about: what it does, in a phrase.
        augment: of the training images.
        label_smoothing: as in `Settings`.
        mix: as in `Settings`.
        patience: as in `Settings`; the best weights are kept then, the last ones otherwise.
        longer: how many times as many epochs.
        dropout: before the last layer.
        size: of the input, where it is not the setup's.
    """

    about: str
    augment: Augment | None = None
    label_smoothing: float = 0.0
    mix: str | None = None
    patience: int | None = None
    longer: int = 1
    dropout: float = 0.2
    size: int | None = None


ROTATION = v2.RandomRotation(20, interpolation=v2.InterpolationMode.BILINEAR, fill=128)
COLOR = v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)
AFFINE = v2.RandomAffine(0, (0.1, 0.1), (0.85, 1.15), 10, interpolation=v2.InterpolationMode.BILINEAR, fill=128)
CROP = (0.6, 1.0)

SETUPS = {"embedded": Setup("embedded", 64, 10), "photo": Setup("efficientnet_lite0", 96, 6)}
SWITCHES = {
    "nothing": Switch("no augmentation, plain cross-entropy, the last weights"),
    "crop": Switch("random crops of 60 to 100 % of the area", Augment(crop=CROP)),
    "flip": Switch("mirrored left to right half of the time", Augment(flip=0.5)),
    "crop and flip": Switch("both", Augment(crop=CROP, flip=0.5)),
    "label smoothing": Switch("0.1", label_smoothing=0.1),
    "MixUp": Switch("alpha 0.2", mix="mixup"),
    "CutMix": Switch("alpha 1", mix="cutmix"),
    "rotation": Switch("up to 20 degrees", Augment(then=ROTATION)),
    "color": Switch("brightness, contrast, saturation by 20 %, hue by 2 %", Augment(then=COLOR)),
    "affine": Switch("shifted by 10 %, scaled by 15 %, sheared by 10 degrees", Augment(then=AFFINE)),
    "all augmentations": Switch(
        "crop, flip, rotation, color, affine", Augment(CROP, 0.5, v2.Compose([ROTATION, COLOR, AFFINE]))
    ),
    "longer": Switch("three times as many epochs", longer=3),
    "longer, stopped early": Switch("the same; ended after 3 epochs without improvement", longer=3, patience=3),
    "longer, crop and flip": Switch("three times as many epochs, both", Augment(crop=CROP, flip=0.5), longer=3),
    "no dropout": Switch("a linear layer alone as head", dropout=0.0),
    "48 px": Switch("smaller images", size=48),
    "64 px": Switch("smaller images", size=64),
    "96 px": Switch("larger images", size=96),
    "128 px": Switch("larger images", size=128),
}
PLAN = (
    *(("embedded", name) for name in ("nothing", "crop", "flip", "crop and flip", "label smoothing")),
    *(("embedded", name) for name in ("MixUp", "CutMix", "longer", "longer, stopped early", "48 px", "96 px")),
    *(("embedded", name) for name in ("rotation", "color", "affine")),
    *(("photo", name) for name in ("nothing", "crop and flip")),
    *(("embedded", name) for name in ("all augmentations", "longer, crop and flip", "no dropout")),
    *(("photo", name) for name in ("64 px", "128 px", "label smoothing", "CutMix")),
)
"""What is measured, the most important first: (setup, switch)."""


class Job(NamedTuple):
    """One run, with the seed `TUNING` to choose a rate, or with one of `SEEDS`."""

    setup: str
    switch: str
    lr: float
    seed: int


Runs = dict[Job, dict[str, Any]]


@cache
def draw(seed: int, val_per_class: int) -> Task:
    """Ten training images of each species, drawn anew for each seed; the scored images are always the same."""
    held = drawn_task(flowers.SPECIES, flowers.draw, train_per_class=1, val_per_class=1, seed=HELD).test
    drawn = drawn_task(flowers.SPECIES, flowers.draw, val_per_class=val_per_class, test_per_class=1, seed=seed)
    return Task("flowers", drawn.classes, drawn.train, drawn.val, held)


def run(job: Job) -> dict[str, Any]:
    """Train once; accuracy on the scored images, or on validation images with the seed `TUNING`.

    The seed decides which training images are drawn, their order and augmentation, and the new head.
    """
    setup, switch = SETUPS[job.setup], SWITCHES[job.switch]
    validated = job.seed == TUNING or switch.patience is not None
    task = draw(job.seed, 10 if validated else 1)
    model = load_backbone(setup.backbone).to(memory_format=torch.channels_last)
    preprocessing = model.preprocessing.with_size(switch.size or setup.size)
    replace_head(model, len(task.classes), dropout=switch.dropout, seed=job.seed)
    loaders = make_loaders(task, preprocessing, augment=switch.augment, seed=job.seed)
    settings = Settings(
        label_smoothing=switch.label_smoothing,
        mix=switch.mix,
        patience=switch.patience,
        keep_best=switch.patience is not None,
        precision="fp32",
    )
    phase = Phase("all", job.lr, switch.longer * setup.epochs, head_lr=10 * job.lr)
    began = time.process_time()
    history = train(model, [phase], loaders, settings, job.seed)
    seconds = round(time.process_time() - began, 1)
    scores = evaluate(model, loaders.val if job.seed == TUNING else loaders.test)
    return {"accuracy": round(scores.accuracy, 4), "seconds": seconds, "epochs": len(history)}


def missing(setup: str, switch: str, runs: Runs) -> list[Job]:
    """The runs that a switch still needs and that can be named by now: those that choose the rate come first."""
    tuning = [Job(setup, "nothing", lr, TUNING) for lr in SETUPS[setup].rates]
    if any(job not in runs for job in tuning):
        return [job for job in tuning if job not in runs]
    lr = max(tuning, key=lambda job: runs[job]["accuracy"]).lr
    return [job for seed in SEEDS if (job := Job(setup, switch, lr, seed)) not in runs]


def protocol(job: Job) -> str:
    """A short hash of what decides a run's result; runs of another protocol are not used."""
    setup, switch = SETUPS[job.setup], SWITCHES[job.switch]
    return hashlib.sha256(repr((setup, asdict(switch), HELD)).encode()).hexdigest()[:8]


def read(kept: Path, results: Path) -> Runs:
    """All runs so far, of the file of results and of the lines since."""
    runs: Runs = {}
    for row in read_rows(kept, results, "runs"):
        job = Job(row["setup"], row["switch"], row["lr"], row["seed"])
        if job.switch in SWITCHES and row["protocol"] == protocol(job):
            runs[job] = row
    return runs


def measure(kept: Path = KEPT, results: Path = MEASURED, report: Callable[[str], object] = print) -> None:
    """Measure every switch that is not measured yet.

    Args:
        kept: a line of JSON for each finished run, appended at once.
        results: what the lesson reads; written anew after each switch.
        report: called with a line of progress after each run.
    """
    for setup, switch in PLAN:
        while jobs := missing(setup, switch, read(kept, results)):
            for job in jobs:
                row = run(job)
                append_row(kept, job._asdict() | row | {"protocol": protocol(job), "machine": machine()})
                report(f"{setup}, {job.switch}, lr {job.lr:g}, seed {job.seed}: {row['accuracy']:.1%}")
        write(results, read(kept, results))


def write(results: Path, runs: Runs) -> None:
    """Write the file of results: settings, what is missing, and the runs, a line each."""
    about = {
        "rule": "one switch is turned on at a time; the rate is chosen once for each network, with nothing on, on "
        "validation images of a draw of its own",
        "varied": "with the seed: the draw of training images, the new head, order, augmentation",
        "fixed": "pretrained weights; 20 scored images of each species, which are not the lesson's test images",
        "seconds": "processor time of training and validation on one core",
        "setups": {name: asdict(setup) for name, setup in SETUPS.items()},
        "switches": {name: switch.about for name, switch in SWITCHES.items()},
        "seeds": SEEDS,
        "tuning": TUNING,
        "missing": [place for place in PLAN if missing(*place, runs)],
    }
    write_rows(results, about, "runs", runs.values())


if __name__ == "__main__":
    run_to_the_end(measure)
