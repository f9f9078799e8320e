"""The flowers project: its images, the faults planted in them, and what was measured about training on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from helpers.data.drawn_images import drawn_images
from helpers.data.load import load_task
from helpers.data.photos.copies import fingerprint, near_copies
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError

MEASURED = Path(__file__).resolve().parents[1] / "data" / "project.json"
DIMMED = 0.9
"""Brightness of a planted copy: it is no copy to the byte, as a photo saved again is none."""

Draw = Callable[[Sequence[int], int, int], Tensor]


def drawn_task(
    species: Sequence[str],
    draw: Draw,
    *,
    train_per_class: int = 10,
    val_per_class: int = 10,
    test_per_class: int = 20,
    size: int = 128,
    seed: int = 0,
) -> Task:
    """Draw the images of the project, or recall them: all species, each image `size` pixels wide and high.

    Args:
        species: names, in the order of the labels.
        draw: from labels, size and seed to uint8 images (N, 3, size, size), such as `drawn.flowers.draw`.
        train_per_class: images of each species to train with.
        val_per_class: to validate with.
        test_per_class: to test on.
        size: in pixels.
        seed: another seed, other images.
    """
    splits = []
    for part, count in enumerate((train_per_class, val_per_class, test_per_class)):
        labels = torch.arange(len(species)).repeat(count)
        splits.append(Split(labels, drawn_images("project", draw, labels.tolist(), size, 3 * seed + part)))
    return Task("flowers", tuple(species), *splits)


def photo_task(classes: int = 102) -> Task:
    """Flowers-102 with its official splits, or its first classes alone.

    Raises:
        HelpersError: if the photos are neither there nor can be downloaded.
    """
    task = load_task("flowers102")
    parts = (split.subset((split.labels < classes).nonzero()[:, 0]) for split in (task.train, task.val, task.test))
    return Task(task.name, task.classes[:classes], *parts)


@dataclass(frozen=True, eq=False)
class Project:
    """A task as it was handed over, and what only a botanist knows.

    Attributes:
        task: some labels of its training images are wrong, and some test images are among them.
        truth: the true labels of the training images, int64 (N,).
        copies: indices of the training images that are test images too.
    """

    task: Task
    truth: Tensor
    copies: tuple[int, ...] = ()

    @property
    def odd(self) -> list[int]:
        """Indices of the training images with a wrong label."""
        return (self.task.train.labels != self.truth).nonzero()[:, 0].tolist()

    def ask(self, indices: Sequence[int]) -> Tensor:
        """What a botanist says of some training images, one look for each: their true labels, int64 (M,)."""
        return self.truth[list(indices)]

    def mended(self, indices: Sequence[int]) -> Project:
        """The project with the true labels of these training images, which somebody has looked at."""
        labels = self.task.train.labels.clone()
        labels[list(indices)] = self.ask(indices)
        return replace(self, task=replace(self.task, train=replace(self.task.train, labels=labels)))

    def without(self, indices: Sequence[int]) -> Project:
        """The project without these training images."""
        left = torch.tensor([i for i in range(len(self.truth)) if i not in set(indices)])
        train = self.task.train.subset(left)
        copies = tuple(place for place, i in enumerate(left.tolist()) if i in self.copies)
        return Project(replace(self.task, train=train), self.truth[left], copies)


def plant(task: Task, odd: float = 0.1, copies: int = 8, seed: int = 0) -> Project:
    """Plant what is often wrong with images that somebody else collected.

    Args:
        task: with right labels and separate splits.
        odd: the fraction of the training images that get the label of another class, drawn at random.
        copies: how many test images are also put among the training images, a little darker where they are drawn.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    count, classes = len(task.train), len(task.classes)
    chosen = torch.randperm(count, generator=generator)[: round(odd * count)]
    labels = task.train.labels.clone()
    labels[chosen] = (labels[chosen] + torch.randint(1, classes, chosen.shape, generator=generator)) % classes
    copied = task.test.subset(torch.randperm(len(task.test), generator=generator)[:copies])
    truth = torch.cat([task.train.labels, copied.labels])
    train = _joined(replace(task.train, labels=labels), copied)
    return Project(replace(task, train=train), truth, tuple(range(count, len(truth))))


def _joined(one: Split, other: Split) -> Split:
    labels = torch.cat([one.labels, other.labels])
    if one.images is None:
        return Split(labels, files=one.files + other.files)
    return Split(labels, torch.cat([one.images, (other.images * DIMMED).to(torch.uint8)]))


def pictures(split: Split) -> list[Image.Image]:
    """The images of a split as Pillow has them, in RGB."""
    if split.images is None:
        return [Image.open(file).convert("RGB") for file in split.files]
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in split.images]


def thumbnails(split: Split, indices: Sequence[int], side: int = 96) -> list[Tensor]:
    """Some images of a split as small squares, uint8 (3, side, side), to look at."""
    chosen = pictures(split.subset(torch.tensor(list(indices))))
    return [pil_to_tensor(image.resize((side, side), Image.Resampling.LANCZOS)) for image in chosen]


def shared_images(one: Split, other: Split) -> list[tuple[int, int]]:
    """Leaks: images that stand in two splits, or near copies of them, as pairs of indices (in `one`, in `other`)."""
    numbers = near_copies([fingerprint(image) for split in (one, other) for image in pictures(split)])
    ours, theirs = numbers[: len(one)], numbers[len(one) :]
    places = {number: place for place, number in enumerate(theirs)}
    return [(place, places[number]) for place, number in enumerate(ours) if number in places]


@dataclass(frozen=True)
class Measured:
    """What `python -m data.workshop.project` measured, whole or not.

    Attributes:
        setups: by name how a network was trained (`backbone`, `size`, `epochs`, `lr`, ...).
        switches: by name what is switched on.
        accuracy: (setup, switch) -> accuracies, 0 to 1, one for each seed, the same seeds everywhere.
        missing: (setup, switch) of those that are not measured yet.
    """

    setups: Mapping[str, Mapping[str, Any]]
    switches: Mapping[str, str]
    accuracy: Mapping[tuple[str, str], tuple[float, ...]]
    missing: tuple[tuple[str, str], ...] = ()

    def of(self, setup: str) -> dict[str, tuple[float, ...]]:
        """The accuracies of one setup by switch."""
        return {switch: values for (name, switch), values in self.accuracy.items() if name == setup}


def load_measured(path: str | Path = MEASURED) -> Measured:
    """Read what `make project` measured about single switches of training.

    Raises:
        HelpersError: if the file is missing or damaged.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        missing = tuple((setup, switch) for setup, switch in stored["missing"])
        runs = [row for row in stored["runs"] if row["seed"] != stored["tuning"]]
        accuracy = {place: () for row in runs if (place := (row["setup"], row["switch"])) not in missing}
        for row in sorted(runs, key=lambda row: row["seed"]):
            if (place := (row["setup"], row["switch"])) in accuracy:
                accuracy[place] += (row["accuracy"],)
        return Measured(stored["setups"], stored["switches"], accuracy, missing)
    except FileNotFoundError as error:
        raise HelpersError(f"{path} is not there; measure it with `make project`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HelpersError(f"{path} cannot be read ({error!r}); measure it again with `make project`") from error
