"""What each mistake costs: mistakes trained on the embedded flowers, wrong and right, with the same seeds."""

from __future__ import annotations

import json
import multiprocessing
import platform
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.optim import lr_scheduler

from helpers.data.load import load_task
from helpers.data.tasks import Task
from helpers.measure import interval
from helpers.models.backbones import load_backbone
from tests.mistakes.mistakes import MISTAKES, Mistake
from tests.mistakes.worlds import Setup, World
from transfer_doctor.diagnose import diagnose
from transfer_doctor.forward_trace import main_output

SEEDS = 5
EPOCHS = 4
SCORED = 300  # test images that stand for validation
_WORLDS: list[World] = []  # of this process, one for each seed
_SCORES: dict[str, float] = {}
PER_BATCH = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)


def embedded_world(task: Task, seed: int) -> World:
    """The embedded backbone and the drawn flowers: ten training images a species, scored on test images."""
    backbone = load_backbone("embedded")
    chosen = torch.randperm(len(task.test), generator=torch.Generator().manual_seed(1))[:SCORED]
    val = (task.test.images[chosen], task.test.labels[chosen])
    train = (task.train.images, task.train.labels)
    world = World(backbone, train, val, task.classes, backbone.preprocessing, "adam", (3e-3, 5e-4), batch_size=20)
    world.seed = seed
    return world


def train_and_score(setup: Setup, seed: int) -> float:
    """The loop of a usual script: a few epochs, then the fraction of validation images classified correctly."""
    torch.manual_seed(seed)
    model, optimizer, scheduler = setup.model, setup.optimizer, setup.scheduler
    for _ in range(EPOCHS if optimizer is not None else 0):
        model.train(setup.epoch_mode)
        for images, labels in setup.train_loader:
            optimizer.zero_grad()
            setup.criterion(main_output(model(images)), labels).backward()
            optimizer.step()
            if isinstance(scheduler, PER_BATCH):
                scheduler.step()
        if scheduler is not None and not isinstance(scheduler, PER_BATCH):
            scheduler.step()
    model.train(setup.score_mode)
    right = total = 0
    with torch.no_grad():
        for images, labels in setup.val_loader:
            right += int((main_output(model(images)).argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def measure(report: Callable[[str], None], kept: Path, seeds: int = SEEDS, processes: int = 1) -> dict[str, Any]:
    """Train every mistake that can be trained, wrong and right, with paired seeds.

    Args:
        report: called with one line for each mistake.
        kept: a file with a line of JSON for each mistake that is done, written as they come; those in it from an
            earlier start are not trained again.
        seeds: pairs of runs for each mistake.
        processes: how many mistakes are trained side by side, each on one core.

    Returns:
        The figures for `data/mistakes.json`: for each mistake the accuracies and the accuracy lost, as mean and 95 %
        interval (Student's t over the pairs), and whether that is distinguishable from nothing.
    """
    task = load_task("flowers")
    done = {row["mistake"]: row for row in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    left = [x.name for x in MISTAKES if _can_be_measured(x) and x.name not in done]
    context = multiprocessing.get_context("spawn")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes, context, _start, (task, seeds)) as pool, kept.open("a") as file:
        for row in pool.map(_row, left):
            done[row["mistake"]] = row
            print(json.dumps(row), file=file, flush=True)
            report(line(row))
    return {
        "task": f"{task.name}: {len(task.train)} training images of {len(task.classes)} species",
        "backbone": "embedded",
        "seeds": seeds,
        "epochs": EPOCHS,
        "images_scored": SCORED,
        "machine": {"processor": platform.machine(), "system": platform.system(), "torch": torch.__version__},
        "mistakes": [done[x.name] for x in MISTAKES if x.name in done],
        "not_measured": {x.name: x.code for x in MISTAKES if not _can_be_measured(x)},
    }


def _can_be_measured(mistake: Mistake) -> bool:
    """Whether the wrong set-up trains at all, and makes sense with the embedded backbone."""
    return mistake.trains and (not mistake.only or "resnet" in mistake.only)


def line(row: dict[str, Any]) -> str:
    """One mistake's cost as a sentence."""
    low, high = row["interval"]
    verdict = "" if row["distinguishable"] else ", not distinguishable from nothing"
    return f"{row['code']:32} {row['mistake']:40} {row['lost']:+.3f} [{low:+.3f}, {high:+.3f}]{verdict}"


def _start(task: Task, seeds: int) -> None:
    """In each process: make the worlds once."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    _WORLDS.extend(embedded_world(task, seed) for seed in range(seeds))


def _row(name: str) -> dict[str, Any]:
    mistake = next(x for x in MISTAKES if x.name == name)
    wrong, right = ([_score(mistake, world, broken) for world in _WORLDS] for broken in (True, False))
    lost = [b - a for a, b in zip(wrong, right, strict=True)]
    cost = interval(lost)
    torch.manual_seed(0)
    found = [f for f in diagnose(**mistake.build(_WORLDS[0], True).arguments()).findings if f.code == mistake.code]
    return {
        "code": mistake.code,
        "mistake": mistake.name,
        "severity": found[0].severity if found else None,
        "accuracy_wrong": round(mean(wrong), 4),
        "accuracy_right": round(mean(right), 4),
        "lost": round(cost.mean, 4),
        "interval": [round(cost.low, 4), round(cost.high, 4)],
        "distinguishable": cost.low > 0 or cost.high < 0,
    }


def _score(mistake: Mistake, world: World, wrong: bool) -> float:
    """Train and score; corrected counterpart that are the same set-up are trained once."""
    torch.manual_seed(world.seed)
    setup = mistake.build(world, wrong)
    if wrong:
        return train_and_score(setup, world.seed)
    key = f"{world.seed} {_fingerprint(setup)}"
    if key not in _SCORES:
        _SCORES[key] = train_and_score(setup, world.seed)
    return _SCORES[key]


def _fingerprint(setup: Setup) -> str:
    """Everything that training depends on, as text."""
    model = setup.model
    parts: list[Any] = [model, [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]]
    parts.append([float(p.detach().double().sum()) for p in model.parameters()])
    position = {id(p): i for i, p in enumerate(model.parameters())}
    for group in setup.optimizer.param_groups if setup.optimizer is not None else ():
        parts.append({**group, "params": [position.get(id(p)) for p in group["params"]]})
    for loader in (setup.train_loader, setup.val_loader):
        parts += [type(getattr(loader, "sampler", None)), getattr(loader, "drop_last", None)]
        dataset = getattr(loader, "dataset", None)
        while dataset is not None:
            parts += [type(dataset), len(dataset)]
            parts += [
                getattr(dataset, name, None) for name in ("transform", "samples", "loader", "indices", "datasets")
            ]
            tensors = [getattr(dataset, name, None) for name in ("targets", "images")]
            parts += [float(tensor.double().sum()) for tensor in tensors if torch.is_tensor(tensor)]
            dataset = getattr(dataset, "dataset", None)
    parts += [type(setup.scheduler), getattr(setup.scheduler, "total_steps", None), setup.criterion]
    return repr([*parts, setup.epoch_mode, setup.score_mode])
