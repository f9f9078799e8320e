"""`load_task`: drawn images, published photos, or your own folder of class folders, each as a `Task`."""

from pathlib import Path
from typing import Any

import torch

from drawn import flowers, slides
from helpers.data.drawn_images import drawn_images
from helpers.data.photos.folders import load_folder, refuse_no_folder
from helpers.data.photos.published import ants_bees, flowers102
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError, warn
from helpers.files import expanded

DRAWN = {"flowers": (flowers.SPECIES[:20], flowers.draw), "slides": (slides.CLASSES, slides.draw)}
PUBLISHED = {"flowers102": flowers102, "ants-bees": ants_bees}


def load_task(
    name_or_folder: str | Path = "flowers",
    *,
    root: str | Path | None = None,
    seed: int = 0,
    size: int | None = None,
    classes: int | None = None,
    train_per_class: int | None = None,
    val_per_class: int | None = None,
    test_per_class: int | None = None,
    **photos: Any,
) -> Task:
    """Load a task by its name, or from a folder of class folders.

    Args:
        name_or_folder: `"flowers"` or `"slides"` (drawn), `"flowers102"` or `"ants-bees"` (published photos, downloaded
            when they are not there), or a folder (a `Path` always is one); `helpers.data.photos.folders.load_folder`
            says what a folder may hold.
        root: the folder where published photos are or go; by default as in `helpers.data.photos.published`.
        seed: which images are drawn; how a folder without splits is split.
        size: side of drawn images in pixels; default: 64.
        classes: how many classes to draw; default: all.
        train_per_class: how many training images per class to draw; default: 10.
        val_per_class: how many validation images per class to draw; default: 10.
        test_per_class: how many test images per class to draw; default: 50.
        photos: `labels`, `group` and `class_names` of a folder, as in `helpers.data.photos.folders.load_folder`.

    Raises:
        HelpersError: if there is no such task or folder, an argument does not apply to it, or the folder cannot be
            learned from.
    """
    name, folder = str(name_or_folder), expanded(name_or_folder)
    given = {"size": size, "classes": classes, "train_per_class": train_per_class}
    given |= {"val_per_class": val_per_class, "test_per_class": test_per_class}
    given = {argument: value for argument, value in given.items() if value is not None}
    photos = {argument: value for argument, value in photos.items() if value is not None}
    named = isinstance(name_or_folder, str) and name in {*DRAWN, *PUBLISHED}
    if named and photos:
        raise HelpersError(f"{' and '.join(photos)} say how a folder is read, but {name} is none; leave them out.")
    if root is not None and not (named and name in PUBLISHED):
        raise HelpersError(f"root={str(root)!r} says where published photos are, but {name} is none; leave it out.")
    if given and not (named and name in DRAWN):
        listed = " and ".join(f"{argument}={value}" for argument, value in given.items())
        verb, them = ("chooses", "it") if len(given) == 1 else ("choose", "them")
        raise HelpersError(f"{listed} {verb} how images are drawn, but those of {name} are photos; leave {them} out.")
    if named and root is None and folder.is_dir():
        warn(f"{name!r} is taken as the task of that name; for the folder {name} that lies here, give ./{name}")
    if named:
        return _draw(name, seed, **given) if name in DRAWN else PUBLISHED[name](root)
    if not name or not folder.is_dir():
        refuse_no_folder(name, known=", ".join([*DRAWN, *PUBLISHED]))
    return load_folder(folder, seed=seed, **photos)


def _draw(
    name: str,
    seed: int,
    size: int = 64,
    classes: int | None = None,
    train_per_class: int = 10,
    val_per_class: int = 10,
    test_per_class: int = 50,
) -> Task:
    names, draw = DRAWN[name]
    wanted = len(names) if classes is None else classes
    if not 2 <= wanted <= len(names):
        raise HelpersError(f"{name} can be drawn in 2 to {len(names)} classes, not {wanted}; choose `classes` so.")
    splits = []
    for part, count in enumerate((train_per_class, val_per_class, test_per_class)):
        if count < 1:
            raise HelpersError(f"{name} needs at least one image per class in each split, not {count}.")
        labels = torch.arange(wanted).repeat(count)  # in turn: a larger split begins with the images of a smaller one
        splits.append(Split(labels, images=drawn_images(name, draw, labels.tolist(), size, 3 * seed + part)))
    return Task(name, tuple(names[:wanted]), *splits)
