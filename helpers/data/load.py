"""`load_task`: one `Task` for every kind of source.

Drawn images that live in memory, published photo sets, and any folder of class folders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import drawn
from drawn import flowers, slides
from helpers.data.photos.cache import stored_images
from helpers.data.photos.folders import load_folder
from helpers.data.photos.published import ants_bees, flowers102
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError, warn
from helpers.files import cache_dir, expanded

Draw = Callable[[Sequence[int], int, int], Tensor]


def load_task(
    name_or_folder: str | Path = "flowers",
    *,
    root: str | Path | None = None,
    seed: int = 0,
    size: int = 64,
    classes: int | None = None,
    train_per_class: int = 10,
    val_per_class: int = 10,
    test_per_class: int = 50,
) -> Task:
    """A task by name, or from a folder of class folders.

    Args:
        name_or_folder: `"flowers"` or `"slides"` (drawn), `"flowers102"` or `"ants-bees"` (published photos, fetched
            when they are not there), or a folder (a `Path` always is one); see `helpers.data.photos.folders.load_folder` for
            what a folder may hold.
        root: where the published photos lie or are to be put; default: the cache folder.
        seed: which images are drawn; how a folder without splits is split.
        size: side of drawn images, in pixels.
        classes: how many classes to draw (the first so many); default: all.
        train_per_class: drawn training images a class.
        val_per_class: drawn validation images a class.
        test_per_class: drawn test images a class.

    Raises:
        HelpersError: if there is no such task or folder, or the folder cannot be learned from.
    """
    name, folder = str(name_or_folder), expanded(name_or_folder)
    named = isinstance(name_or_folder, str) and name in [*DRAWN, *PUBLISHED]
    if named and root is None and folder.is_dir():
        warn(f"{name!r} is taken as the task of that name; for the folder {name} that lies here, give ./{name}")
    if named and name in DRAWN:
        counts = (train_per_class, val_per_class, test_per_class)
        return _drawn(name, seed=seed, size=size, classes=classes, counts=counts)
    if named:
        return PUBLISHED[name](root)
    if not name or not folder.is_dir():
        known = ", ".join([*DRAWN, *PUBLISHED])
        raise HelpersError(
            f"there is no task or folder {name!r}; name one of {known}, or a folder that holds one folder per class."
        )
    return load_folder(folder, seed=seed)


def _flowers() -> tuple[tuple[str, ...], Draw]:
    return tuple(flowers.SPECIES[:20]), flowers.draw


def _slides() -> tuple[tuple[str, ...], Draw]:
    return tuple(slides.CLASSES), slides.draw


DRAWN: dict[str, Callable[[], tuple[tuple[str, ...], Draw]]] = {"flowers": _flowers, "slides": _slides}
PUBLISHED: dict[str, Callable[[str | Path | None], Task]] = {"flowers102": flowers102, "ants-bees": ants_bees}


def _drawn(name: str, *, seed: int, size: int, classes: int | None, counts: tuple[int, int, int]) -> Task:
    names, draw = DRAWN[name]()
    wanted = len(names) if classes is None else classes
    if not 2 <= wanted <= len(names):
        raise HelpersError(f"{name} can be drawn in 2 to {len(names)} classes, not {wanted}; choose `classes` so.")
    if min(counts) < 1 or size < 16:
        raise HelpersError(
            f"{name} needs at least one image a class in each split and a size of at least 16 pixels, "
            f"not {counts} and {size}; raise them."
        )
    splits = []
    for part, count in enumerate(counts):
        labels = torch.arange(wanted).repeat(count)  # in turn: a larger split begins with the images of a smaller one
        splits.append(Split(labels, images=_drawn_images(name, draw, labels.tolist(), size, 3 * seed + part)))
    return Task(name, names[:wanted], *splits)


def _drawn_images(name: str, draw: Draw, labels: list[int], size: int, seed: int) -> Tensor:
    """Images as `draw` gives them, kept for the next time (drawing takes a few milliseconds an image)."""
    code = hashlib.sha256()
    for file in sorted((Path(drawn.__file__).parent).rglob("*.py")):
        code.update(file.read_bytes())
    key = f"{name} {len(labels)} {max(labels) + 1} {size} {seed}"
    path = cache_dir() / "images" / f"{key.replace(' ', '-')}.images"
    images = cache(lambda: draw(labels, size, seed))
    try:
        stored = stored_images(path, f"{key} {code.hexdigest()}", len(labels), lambda i: images()[i])
    except HelpersError:
        return images()
    return stored.pixels.view(len(labels), size, size, 3).permute(0, 3, 1, 2).contiguous()
