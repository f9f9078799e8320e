"""What the grid trains: targets, strategies with their candidates, and one run whose length is counted in steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from data.workshop.pretrain import SIZE, VALIDATION_ROUND, normalized
from drawn import source as source_task
from helpers.data.load import load_task
from helpers.data.loaders import Loaders, make_loaders
from helpers.data.tasks import Split, Task
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import head, stages
from helpers.training import strategies
from helpers.training.evaluation import evaluate
from helpers.training.features import feature_inputs
from helpers.training.loop import PhaseInputs, Settings, enter_phase, leave_phase
from helpers.training.optim import make_optimizer, make_scheduler
from helpers.training.runs.processes import make_accelerator
from helpers.training.strategies import Phase

SEEDS = (0, 1, 2, 3, 4)
TUNING, TEST = 100, 101
"""Seeds of the draws for tuning and for the test; no run that is tested trains on either."""

SETTINGS = Settings(precision="fp32")
"""Optimizer, weight decay, augmentation and label smoothing: those of `fit`."""


@dataclass(frozen=True)
class Target:
    """A task to transfer to, of which any number of training images can be drawn.

    Attributes:
        about: what it is, in a phrase.
        backbone: the pretrained network.
        image_size: side of the network's input, in pixels.
        classes: how many.
        steps: two lengths to choose from with up to 10 images per class, and two with more.
        val_per_class: validation images of each class, for tuning alone.
        test_per_class: at most so many test images of each class.
    """

    about: str
    backbone: str
    image_size: int
    classes: int
    steps: tuple[tuple[int, int], tuple[int, int]]
    val_per_class: int = 20
    test_per_class: int = 50


_EMBEDDED = "embedded", 64
_PHOTOS = "efficientnet_lite0", 96
_STEPS, _STEPS_PHOTOS = ((40, 160), (60, 240)), ((30, 120), (40, 160))

TARGETS = {
    "flowers": Target("drawn flowers, near to what the backbone learned from", *_EMBEDDED, 10, _STEPS),
    "slides": Target("drawn slides, far from what the backbone learned from", *_EMBEDDED, 4, _STEPS, 50, 100),
    "ants-bees": Target("photos of ants and bees, tested on its validation photos", *_PHOTOS, 2, _STEPS_PHOTOS),
    "flowers102": Target(
        "photos of the ten species that have most in Flowers-102, its splits put together", *_PHOTOS, 10, _STEPS_PHOTOS
    ),
}


@dataclass(frozen=True)
class Plan:
    """A strategy of the grid.

    Attributes:
        phases: makes its phases from a number of steps, a learning rate and the names of the stages.
        rates: the two learning rates to choose from.
        pretrained: whether it starts from pretrained weights.
        longer: how many times as many steps as the target's it takes.
    """

    phases: Callable[[int, float, Sequence[str]], list[Phase]]
    rates: tuple[float, float]
    pretrained: bool = True
    longer: int = 1

    def candidates(self, target: Target, per_class: int) -> list[tuple[float, int]]:
        """Rates and steps to choose from, the shorter runs first."""
        lengths = target.steps[per_class > 10]
        return [(lr, self.longer * steps) for steps, lr in product(lengths, self.rates)]


def _named(make: Callable[..., list[Phase]], steps: int, lr: float, _: Sequence[str]) -> list[Phase]:
    """A strategy of `helpers.training.strategies` with its epochs read as steps."""
    return make(steps, lr)


def _surgical(steps: int, lr: float, names: Sequence[str]) -> list[Phase]:
    """Only the first two stages and the head (Lee et al., *Surgical Fine-Tuning Improves Adaptation*, ICLR 2023)."""
    return [Phase((*names[:2], names[-1]), lr, steps, head_lr=10 * lr)]


STRATEGIES = {
    "feature extraction": Plan(partial(_named, strategies.feature_extraction), (3e-3, 1e-2)),
    "fine-tuning": Plan(partial(_named, strategies.fine_tuning), (3e-4, 1e-3)),
    "LP-FT": Plan(partial(_named, strategies.lp_ft), (3e-4, 1e-3)),
    "discriminative": Plan(partial(_named, strategies.discriminative), (1e-3, 3e-3)),
    "gradual unfreezing": Plan(partial(_named, strategies.gradual_unfreezing), (1e-3, 3e-3)),
    "surgical": Plan(_surgical, (3e-4, 1e-3)),
    "from scratch": Plan(partial(_named, strategies.from_scratch), (1e-3, 3e-3), pretrained=False, longer=2),
}


def draw(name: str, per_class: int, seed: int) -> Task:
    """A target with training images drawn anew for each seed; validation and test images are always the same.

    With one seed, fewer images per class are a part of more.

    Raises:
        HelpersError: if photos are missing, or there are not so many.
    """
    target = TARGETS[name]
    if target.backbone != "embedded":
        return _photos(name).few(per_class, seed)
    load = partial(load_task, name, classes=target.classes)
    held = _held(name)
    return Task(name, held.classes, load(seed=seed, train_per_class=per_class).train, held.val, held.test)


@cache
def _held(name: str) -> Task:
    target = TARGETS[name]
    load = partial(load_task, name, classes=target.classes)
    tuning = load(seed=TUNING, val_per_class=target.val_per_class)
    test = load(seed=TEST, test_per_class=target.test_per_class).test
    return Task(name, tuning.classes, tuning.train, tuning.val, test)


@cache
def _photos(name: str) -> Task:
    """All photos that are neither for validation nor for the test, as training images to draw from."""
    target, task = TARGETS[name], load_task(name)
    if name == "ants-bees":
        val, train = split(task.train, target.val_per_class)
        return Task(name, task.classes, train, val, task.val)
    together = [task.train, task.val, task.test]
    labels, files = torch.cat([part.labels for part in together]), sum((part.files for part in together), ())
    most = labels.bincount().argsort(descending=True, stable=True)[: target.classes].sort().values
    chosen = torch.isin(labels, most).nonzero()[:, 0]
    whole = Split(torch.searchsorted(most, labels[chosen]), files=tuple(files[i] for i in chosen.tolist()))
    test, rest = split(whole, target.test_per_class)
    val, train = split(rest, target.val_per_class)
    return Task(name, tuple(task.classes[i] for i in most.tolist()), train, val, test)


def split(images: Split, per_class: int) -> tuple[Split, Split]:
    """So many images of each class, drawn at random but always the same ones, and the rest."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(TEST))
    taken = torch.zeros(len(images), dtype=torch.bool)
    for label in images.labels.unique():
        taken[order[images.labels[order] == label][:per_class]] = True
    indices = torch.arange(len(images))
    return images.subset(indices[taken]), images.subset(indices[~taken])


def run(name: str, per_class: int, strategy: str, lr: float, steps: int, seed: int) -> dict[str, Any]:
    """Train once and score: on the validation images with the seed `TUNING`, on the test images with any other.

    The seed decides which training images are drawn, their order and augmentation, the new head, and random weights.

    Returns:
        `accuracy` on so many images as `scored` says; `source`, the accuracy on the source task with the old head put
        back (embedded backbone, tested runs that start pretrained, else None); `seconds` of processor time for
        training; `images` it took forward and backward.
    """
    target, plan = TARGETS[name], STRATEGIES[strategy]
    torch.manual_seed(seed)
    model = load_backbone(target.backbone, "DEFAULT" if plan.pretrained else None)
    model.to(memory_format=torch.channels_last)
    old = head(model).state_dict()
    task = draw(name, per_class, seed)
    preprocessing = model.preprocessing.with_size(target.image_size)
    size = min(SETTINGS.batch_size, len(task.train))
    loaders = make_loaders(task, preprocessing, batch_size=size, augment=SETTINGS.augment, seed=seed)
    replace_head(model, len(task.classes), seed=seed)
    began = time.process_time()
    trained = train_steps(model, plan.phases(steps, lr, [stage.name for stage in stages(model)]), loaders)
    row = {"seconds": round(time.process_time() - began, 2), "images": trained}
    scores = evaluate(model, loaders.val if seed == TUNING else loaders.test)
    forgets = target.backbone == "embedded" and plan.pretrained and seed != TUNING
    source = round(source_accuracy(model, old), 4) if forgets else None
    return row | {"accuracy": round(scores.accuracy, 4), "scored": len(scores.labels), "source": source}


def train_steps(model: nn.Module, phases: Sequence[Phase], loaders: Loaders) -> int:
    """Train by phases whose `epochs` are read as optimizer steps; the last weights are kept.

    Returns:
        How many images went through the network forward and backward; stored features do not count.
    """
    trained = 0
    for phase in phases:
        enter_phase(model, phase)
        inputs = PhaseInputs(model, loaders.train, loaders.val)
        if phase.trainable == "head":
            inputs = feature_inputs(model, loaders, SETTINGS, make_accelerator(loaders.train.batch_size))
        optimizer = make_optimizer(model, phase, SETTINGS.optimizer, SETTINGS.weight_decay)
        scheduler = make_scheduler(optimizer, phase, steps=phase.epochs)
        for images, labels in islice(endless(inputs.train), phase.epochs):
            logits = inputs.network(images).flatten(1)
            optimizer.zero_grad()
            functional.cross_entropy(logits, labels, label_smoothing=SETTINGS.label_smoothing).backward()
            optimizer.step()
            scheduler.step()
            trained += len(images) if inputs.images else 0
    leave_phase(model)
    return trained


def endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other."""
    while True:
        yield from loader


def source_accuracy(model: nn.Module, old_head: dict[str, Tensor]) -> float:
    """What the network still knows of its source task: accuracy on new source images, with the old head put back."""
    replace_head(model, len(source_task.CLASSES))
    head(model).load_state_dict(old_head)
    return evaluate(model, _source_batches()).accuracy


@cache
def _source_batches() -> list[tuple[Tensor, Tensor]]:
    labels = torch.arange(len(source_task.CLASSES))
    images = source_task.draw(labels.tolist(), SIZE, VALIDATION_ROUND)
    return [(normalized(images[part]), part) for part in labels.split(100)]
