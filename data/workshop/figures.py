"""`python -m data.workshop.figures`: measure what the site's figures show while a reader plays with them.

Takes some ten minutes on one core, and can be stopped at any time: each finished run is a line of `data/figures.json`,
and a later start goes on from there. Photos are looked for as `load_task` does; those of a set that is not there are
left out. What is measured: linear probes of every stage, probes on more and more images, fine-tuning at every rate,
accuracy and forgetting after each epoch of several strategies, and which flowers are taken for which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2.functional import to_pil_image

from course.activations import loader_features, probe
from data.workshop.grid_runs import TARGETS, draw
from data.workshop.kept import machine, run_to_the_end, write_rows
from drawn import source as source_task
from helpers.data.load import load_task
from helpers.data.loaders import Loaders, make_loaders, set_epoch
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import head, stages
from helpers.training.evaluation import evaluate
from helpers.training.loop import enter_phase, leave_phase
from helpers.training.optim import make_optimizer, make_scheduler
from helpers.training.strategies import Phase

ROOT = Path(__file__).resolve().parents[2]
RESULTS, SHEET = ROOT / "data" / "figures.json", ROOT / "book" / "_static" / "figures" / "flowers.webp"
TILE, COLUMNS = 56, 20  # pixels of an image on the contact sheet, images in a row of it

SEEDS, WEIGHTS = (0, 1, 2), ("pretrained", "random")
PROBED = 10  # training images per class of the probes of every stage
SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
RATES = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
EPOCHS, BATCH_SIZE = 8, 10
SHOWN = 150  # test images whose features are drawn, all classes together

_HEAD_LR, _LR = 3e-3, 3e-4
TIMELINES = {
    "feature extraction": [Phase("head", _HEAD_LR, 12)],
    "fine-tuning": [Phase("all", _LR, 12, head_lr=_HEAD_LR)],
    "LP-FT": [Phase("head", _HEAD_LR, 6), Phase("all", _LR, 6)],
    "gradual unfreezing": [Phase("head", _HEAD_LR, 3), Phase(2, _LR, 3), Phase(3, _LR, 3), Phase("all", _LR, 3)],
    "discriminative": [Phase("all", 1e-3, 12, layer_decay=0.6)],
    "surgical": [Phase("head", _HEAD_LR, 6), Phase(("stem", "layer1", "fc"), _LR, 6)],
}
"""Twelve epochs of each strategy, at rates that are usual in this course and not tuned."""

Job = dict[str, Any]
Report = Callable[[str], object]


def jobs() -> Iterator[tuple[Job, Callable[..., dict[str, Any]]]]:
    """Everything to measure: what identifies a run, and the function that makes it."""
    for seed, target, weights in product(SEEDS, TARGETS, WEIGHTS):
        yield {"figure": "probe", "target": target, "weights": weights, "seed": seed}, probe_stages
    for seed, target, weights in product(SEEDS, TARGETS, WEIGHTS):
        yield {"figure": "images", "target": target, "weights": weights, "seed": seed}, probe_sizes
    yield {"figure": "confusion", "target": "flowers", "seed": 0}, confuse
    for seed, lr in product(SEEDS, RATES):
        yield {"figure": "rate", "part": "all", "lr": lr, "seed": seed}, train_at
    for target, seed, strategy in product(("flowers", "slides"), SEEDS, TIMELINES):
        yield {"figure": "timeline", "target": target, "strategy": strategy, "seed": seed}, follow
    for seed, lr in product(SEEDS, RATES):
        yield {"figure": "rate", "part": "head", "lr": lr, "seed": seed}, train_at


def measure(results: Path = RESULTS, report: Report = print) -> None:
    """Make every run that is not in the file of results yet; the file is written anew after each."""
    stored = json.loads(results.read_text(encoding="utf-8"))["runs"] if results.exists() else []
    rows = [row for row in stored if any(job.items() <= row.items() for job, _ in jobs())]
    for job, run in jobs():
        if any(job.items() <= row.items() for row in rows):
            continue
        try:
            rows.append(job | run(**{key: value for key, value in job.items() if key != "figure"}))
        except HelpersError as error:
            report(f"{', '.join(map(str, job.values()))} is left out: {error}")
            continue
        write(results, rows)
        report(", ".join(map(str, job.values())))


def write(results: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the file of results: how it was measured, and a line for each run."""
    about = {
        "probe": f"logistic regression on the averaged outputs of each stage; {PROBED} training images per class",
        "images": "logistic regression on the features of the last stage",
        "rate": f"5 species, 10 images each, {EPOCHS} epochs of batches of {BATCH_SIZE}, SGD with momentum 0.9; where "
        "all is trained, the head learns at 0.01",
        "timeline": "10 training images per class of the near target, 20 of the far one; scored after each epoch",
        "confusion": "20 species, 10 training images each, logistic regression on the features of the last stage",
        "varied": "with the seed: the draw of training images, the new head, random weights, order",
        "stages": [stage.name for stage in stages(load_backbone("embedded"))],
        "targets": {name: asdict(target) for name, target in TARGETS.items()},
        "timelines": {name: [asdict(phase) for phase in phases] for name, phases in TIMELINES.items()},
        "machine": machine(),
    }
    write_rows(results, about, "runs", rows)


def probe_stages(target: str, weights: str, seed: int) -> dict[str, Any]:
    """Test accuracy of a probe at each stage; with the first seed, also the test images on two axes, class by class."""
    task = draw(target, PROBED, seed)
    model = network(weights, seed)
    train, labels = loader_features(model, make_loaders(task, model.preprocessing.with_size(64)).plain)
    test, test_labels = test_features(target, weights, seed)
    found = {name: round(probe(train[name], labels, test[name], test_labels), 4) for name in train}
    if seed:
        return {"stages": found}
    count = len(task.classes)
    chosen = torch.cat([(test_labels == label).nonzero()[: SHOWN // count, 0] for label in range(count)])
    points = {name: plane(train[name], labels, test[name][chosen]) for name in train}
    return {"stages": found, "points": points, "labels": test_labels[chosen].tolist(), "classes": list(task.classes)}


def plane(train: Tensor, labels: Tensor, test: Tensor) -> list[list[float]]:
    """Features (N, D) on the two axes that go best with the classes of the training images: partial least squares."""
    scaler = StandardScaler().fit(train.numpy())
    axes = PLSRegression(2).fit(scaler.transform(train.numpy()), functional.one_hot(labels).numpy())
    points = torch.from_numpy(axes.transform(scaler.transform(test.numpy())))
    low, high = torch.quantile(points, 0.01, dim=0), torch.quantile(points, 0.99, dim=0)
    return [[round(each, 3) for each in point] for point in ((points - low) / (high - low)).clamp(0, 1).tolist()]


def probe_sizes(target: str, weights: str, seed: int) -> dict[str, Any]:
    """Test accuracy of a probe at the last stage, by training images per class; fewer are a part of more."""
    task, model = draw(target, max(SIZES), seed), network(weights, seed)
    train, labels = loader_features(model, make_loaders(task, model.preprocessing.with_size(64)).plain)
    test, test_labels = test_features(target, weights, seed)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    last, found = list(train)[-1], {}
    for size in SIZES:
        chosen = torch.cat([order[labels[order] == label][:size] for label in range(len(task.classes))])
        found[size] = round(probe(train[last][chosen], labels[chosen], test[last], test_labels), 4)
    return {"accuracy": list(found.values()), "sizes": list(found)}


def confuse(target: str, seed: int) -> dict[str, Any]:
    """Which species are taken for which: all mistakes and some right answers, their images on a contact sheet."""
    task = load_task(target, classes=20, train_per_class=10, test_per_class=20, seed=seed)
    model = network("pretrained", seed)
    loaders = make_loaders(task, model.preprocessing)
    (train, labels), (test, truth) = (loader_features(model, each) for each in (loaders.plain, loaders.test))
    regression = LogisticRegression(C=0.1, max_iter=1000).fit(train["layer4"].numpy(), labels.numpy())
    chances = torch.from_numpy(regression.predict_proba(test["layer4"].numpy()))
    sure, said = chances.max(1)
    right = [(truth == label).logical_and(said == label).nonzero()[:5, 0] for label in range(len(task.classes))]
    shown = torch.cat([(said != truth).nonzero()[:, 0], *right])
    rows = -(-len(shown) // COLUMNS)
    sheet = PIL.Image.new("RGB", (COLUMNS * TILE, rows * TILE))
    for place, index in enumerate(shown.tolist()):
        image = to_pil_image(task.test.images[index]).resize((TILE, TILE), PIL.Image.Resampling.LANCZOS)
        sheet.paste(image, (place % COLUMNS * TILE, place // COLUMNS * TILE))
    sheet.save(SHEET, quality=72, method=6)
    row = {"classes": list(task.classes), "truth": truth.tolist(), "said": said.tolist(), "shown": shown.tolist()}
    return row | {"sure": [round(each, 2) for each in sure.tolist()], "tile": TILE, "columns": COLUMNS}


def network(weights: str, seed: int) -> nn.Module:
    """The embedded backbone, with its own weights or with random ones."""
    torch.manual_seed(seed)
    return load_backbone("embedded", "DEFAULT" if weights == "pretrained" else None).eval()


def test_features(target: str, weights: str, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Features and labels of the test images, which are the same for every seed."""
    return _test_features(target, weights, 0 if weights == "pretrained" else seed)


@cache
def _test_features(target: str, weights: str, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    model = network(weights, seed)
    return loader_features(model, make_loaders(draw(target, 1, 0), model.preprocessing.with_size(64)).test)


def train_at(part: str, lr: float, seed: int) -> dict[str, Any]:
    """Fine-tune at one rate, or train the head alone: loss of every step, accuracies of every epoch, what is left."""
    task = _species(seed)
    model = load_backbone("embedded")
    old_head = head(model)
    replace_head(model, len(task.classes), seed=seed)
    phase = Phase(part, lr, EPOCHS, head_lr=1e-2 if part == "all" else None, schedule="constant")
    loaders = make_loaders(task, model.preprocessing, batch_size=BATCH_SIZE, seed=seed)
    row: dict[str, Any] = {"loss": [], "train": [], "val": []}

    def scored(losses: list[float], right: float) -> None:
        row["loss"] += losses
        row["train"].append(round(right, 4))
        row["val"].append(round(evaluate(model, loaders.val).accuracy, 4))

    train(model, [phase], loaders, "sgd", scored)
    row["test"] = round(evaluate(model, loaders.test).accuracy, 4)
    return row | {"source": source_accuracy(model, old_head)}


@cache
def _species(seed: int) -> Task:
    whole = load_task("flowers", classes=5, train_per_class=30, val_per_class=10, test_per_class=20)
    return whole.few(10, seed)


def follow(target: str, strategy: str, seed: int) -> dict[str, Any]:
    """Train by a strategy; before the first epoch and after each, accuracy on the new task and on the old one."""
    task = _followed(target).few(10 if target == "flowers" else 20, seed)
    model = load_backbone("embedded")
    old_head = head(model)
    replace_head(model, len(task.classes), seed=seed)
    loaders = make_loaders(task, model.preprocessing, batch_size=BATCH_SIZE, seed=seed)
    row: dict[str, Any] = {"test": [], "source": []}

    def scored(*_: Any) -> None:
        row["test"].append(round(evaluate(model, loaders.test).accuracy, 4))
        row["source"].append(source_accuracy(model, old_head))

    scored()
    train(model, TIMELINES[strategy], loaders, "adamw", scored)
    return row


@cache
def _followed(target: str) -> Task:
    if target == "flowers":
        return load_task("flowers", classes=8, train_per_class=20, val_per_class=1, test_per_class=15)
    return load_task("slides", train_per_class=40, val_per_class=2, test_per_class=30)


def train(
    model: nn.Module, phases: Sequence[Phase], loaders: Loaders, optimizer_name: str, end_epoch: Callable[..., None]
) -> None:
    """Train by phases; `end_epoch` gets the losses of the epoch's steps and the fraction classified correctly."""
    epoch = 0
    for phase in phases:
        enter_phase(model, phase)
        optimizer = make_optimizer(model, phase, optimizer_name, weight_decay=0.01)
        scheduler = make_scheduler(optimizer, phase, steps=phase.epochs * len(loaders.train))
        for _ in range(phase.epochs):
            set_epoch(loaders.train, epoch)
            losses, right, epoch = [], 0, epoch + 1
            model.train()
            for images, labels in loaders.train:
                logits = model(images)
                loss = functional.cross_entropy(logits, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses.append(round(min(99.0, loss.item()), 3))  # so, and not the other way round, for NaN
                right += int((logits.argmax(1) == labels).sum())
            end_epoch(losses, right / (len(loaders.train) * BATCH_SIZE))
        leave_phase(model)


def source_accuracy(model: nn.Module, old_head: nn.Module) -> float:
    """Accuracy on the source task with the old head in place: an image of every tenth of its thousand classes."""
    name, new = stages(model)[-1].name, head(model)
    model.set_submodule(name, old_head)
    accuracy = evaluate(model, _source_loader()).accuracy
    model.set_submodule(name, new)
    return round(accuracy, 4)


@cache
def _source_loader() -> list[tuple[Tensor, Tensor]]:
    labels = torch.arange(0, len(source_task.CLASSES), 10)
    images = Split(labels, images=source_task.draw(labels.tolist(), 64, 10_000))
    preprocessing = load_backbone("embedded").preprocessing
    return list(make_loaders(Task("source", source_task.CLASSES, images, images), preprocessing).val)


if __name__ == "__main__":
    run_to_the_end(measure)
