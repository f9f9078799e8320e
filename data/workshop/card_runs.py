"""What the model card reports: linear probes and training runs, all tuned alike, over several seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from helpers.data.augment import Augment
from helpers.data.loaders import Loaders, make_loaders
from helpers.data.tasks import Task
from helpers.measure import interval
from helpers.models.backbones import load_backbone
from helpers.models.embedded import PREPROCESSING
from helpers.models.heads import replace_head
from helpers.training.evaluation import evaluate
from helpers.training.fit import fit
from helpers.training.loop import Settings
from helpers.training.strategies import Phase

STAGES = {"maxpool": "stem", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3", "layer4": "layer4"}
"""The module at whose output each stage is probed, and the stage's name."""

PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Candidates for a probe's `C`, the inverse strength of its regularization."""


@dataclass(frozen=True)
class Figure:
    """The test accuracies of one strategy on one task, one per seed, and how it was tuned.

    Attributes:
        test: accuracy for each seed, 0 to 1.
        images: in the test split.
        chosen: the candidate with the best validation accuracy.
        candidates: how many there were.
    """

    test: list[float]
    images: int
    chosen: str
    candidates: int
    val: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean test accuracy, 0 to 1."""
        return mean(self.test)

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval for the mean over seeds."""
        return interval(self.test).half_width

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "mean": self.mean, "half_width": self.half}


def backbone(pretrained: bool, seed: int) -> nn.Module:
    """The embedded network with its shipped weights, or with random ones from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return load_backbone("embedded", "DEFAULT" if pretrained else None)


Pooled = dict[str, dict[str, tuple[Tensor, Tensor]]]
"""Features and labels by split and stage: features (N, C), labels (N,)."""


def probes(tasks: Sequence[Task], pretrained: bool, seeds: Sequence[int]) -> dict[str, Figure]:
    """Logistic regressions on the pooled output of each stage of a frozen network.

    C is chosen for each stage by validation accuracy with the first seed.

    Args:
        tasks: one for each seed.
        pretrained: the shipped weights, or random ones (others for each seed).
        seeds: of the random weights.

    Returns:
        A figure for each stage, from stem to layer4.
    """
    sets: list[Pooled] = []
    for task, seed in zip(tasks, seeds, strict=True):
        same = bool(sets) and pretrained and task is tasks[0]
        sets.append(sets[0] if same else _pooled(backbone(pretrained, seed), task))
    found = {}
    for stage in STAGES.values():
        val = [_logistic(sets[0], stage, "val", c) for c in PENALTIES]
        best = PENALTIES[val.index(max(val))]
        test = [_logistic(each, stage, "test", best) for each in sets]
        found[stage] = Figure(test, len(tasks[0].test), f"C={best:g}", len(PENALTIES), val)
    return found


@torch.no_grad()
def _pooled(model: nn.Module, task: Task) -> Pooled:
    from torchvision.models.feature_extraction import create_feature_extractor

    cut = create_feature_extractor(model.eval(), STAGES)
    loaders = make_loaders(task, PREPROCESSING, batch_size=256)
    pooled: Pooled = {}
    for part, loader in {"train": loaders.plain, "val": loaders.val, "test": loaders.test}.items():
        batches = [({k: v.mean((2, 3)) for k, v in cut(images).items()}, labels) for images, labels in loader]
        labels = torch.cat([each for _, each in batches])
        pooled[part] = {s: (torch.cat([maps[s] for maps, _ in batches]), labels) for s in STAGES.values()}
    return pooled


def _logistic(pooled: Pooled, stage: str, part: str, c: float) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = pooled["train"][stage]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    model.fit(features.double().numpy(), labels.numpy())
    features, labels = pooled[part][stage]
    return float(model.score(features.double().numpy(), labels.numpy()))


@dataclass(frozen=True)
class Budget:
    """What every strategy on a task may spend: the same candidates, augmentation and batches for all.

    Attributes:
        rates: learning rates to choose from.
        epochs: lengths of training to choose from.
    """

    rates: tuple[float, ...]
    epochs: tuple[int, ...]
    batch_size: int = 32
    crop: float = 0.4
    label_smoothing: float = 0.1


def trained(tasks: Sequence[Task], pretrained: bool, seeds: Sequence[int], budget: Budget) -> Figure:
    """Everything learns, from the shipped weights or from random ones.

    Rate and length are chosen by validation accuracy with the first seed; each run ends with the weights of its best
    epoch on the validation images; the test images are looked at once for each seed.
    """
    candidates = [(lr, epochs) for epochs in budget.epochs for lr in budget.rates]
    runs = [_run(tasks[0], pretrained, seeds[0], lr, epochs, budget) for lr, epochs in candidates]
    val = [run[1] for run in runs]
    best = val.index(max(val))
    lr, epochs = candidates[best]
    test = [_accuracy(runs[best])]
    del runs
    for task, seed in zip(tasks[1:], seeds[1:], strict=True):
        test.append(_accuracy(_run(task, pretrained, seed, lr, epochs, budget)))
    return Figure(test, len(tasks[0].test), f"lr={lr:g}, {epochs} epochs", len(candidates), val)


Trained = tuple[nn.Module, float, Loaders]
"""A model, its best validation accuracy, and the task's loaders."""


def _accuracy(run: Trained) -> float:
    return evaluate(run[0], run[2].test).accuracy


def _run(task: Task, pretrained: bool, seed: int, lr: float, epochs: int, budget: Budget) -> Trained:
    model = replace_head(backbone(pretrained, seed), len(task.classes), seed=seed)
    augment = Augment(crop=(budget.crop, 1.0), flip=0.5)
    loaders = make_loaders(task, PREPROCESSING, batch_size=budget.batch_size, augment=augment, seed=seed)
    phase = Phase("all", lr, epochs, head_lr=3 * lr if pretrained else None, update_batchnorm=True)
    run = fit(
        model,
        task,
        [phase],
        Settings(weight_decay=0.05, label_smoothing=budget.label_smoothing, preprocessing=PREPROCESSING),
        loaders=loaders,
        seed=seed,
        verbose=False,
    )
    return model, run.val_accuracy, loaders


def source_head(weights: Any) -> dict[str, Any]:
    """What the weights file says about its own making, and how well its head names fresh source images."""
    from data.workshop.pretrain import SIZE, VALIDATION_ROUND, normalized
    from drawn import source
    from helpers.models.weights_files.reading import metadata

    about = metadata(weights)
    model = backbone(True, 0).eval()
    hits = []
    with torch.no_grad():
        for k in (VALIDATION_ROUND, VALIDATION_ROUND + 1):
            images = source.draw(range(len(source.CLASSES)), SIZE, k)
            answers = torch.cat([model(normalized(part)).argmax(1) for part in images.split(250)])
            hits.append((answers == torch.arange(len(images))).float())
    families = [name.rsplit(" ", 1)[0] for name in source.CLASSES]
    accuracy = torch.stack(hits).mean(0)
    by_family = {
        family: accuracy[[i for i, name in enumerate(families) if name == family]].mean().item()
        for family in dict.fromkeys(families)
    }
    return {
        "plan": json.loads(about["plan"]),
        "result": json.loads(about["result"]),
        "accuracy": accuracy.mean().item(),
        "families": by_family,
    }
