"""Where loaders find their pictures: drawn ones in memory, photos in a cache or in their files."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from helpers.data.images import decode_file, quiet_decoders
from helpers.data.picture_cache import StoredPictures, stored_pictures
from helpers.data.tasks import Split, Task
from helpers.data.views import resize_short_side
from helpers.errors import HelpersError, warn
from helpers.files import cache_dir

if TYPE_CHECKING:
    from helpers.data.recipes import Recipe

BUDGET = 4 * 2**30
"""Photos of a task are kept decoded if that takes at most so many bytes (on disk: the cache is memory-mapped)."""

USUAL_SHAPE = 1.4
"""Longer side of a photo over its shorter side, for estimates."""


class Pictures(Protocol):
    """Labelled pictures whose shorter side is the recipe's `resize_size`.

    Attributes:
        labels: int64, shape (N,).
        names: what to call each picture in a message.
        in_memory: whether fetching costs no decoding.
    """

    labels: Tensor
    names: list[str]
    in_memory: bool

    def fetch(self, indices: Tensor) -> Tensor | list[Tensor]:
        """The pictures at `indices`: uint8 (B, 3, H, W) if all have one size, else a list of (3, H, W)."""
        ...


class DrawnPictures:
    """Pictures of one size, kept in memory as they were drawn."""

    in_memory = True

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.labels, self.names, self.recipe = split.labels, split.names, recipe
        self.stored = split.images.permute(0, 2, 3, 1).contiguous()

    def fetch(self, indices: Tensor) -> Tensor:
        """See `Pictures.fetch`."""
        pictures = self.stored.index_select(0, indices).permute(0, 3, 1, 2)
        return resize_short_side(pictures, self.recipe.resize_size, self.recipe.interpolation)


class PhotoFiles:
    """Photos that are decoded from their files whenever they are asked for."""

    in_memory = False

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.labels, self.names, self.files, self.recipe = split.labels, split.names, split.files, recipe

    def read(self, i: int) -> Tensor:
        """Photo `i`, uint8 (3, H, W)."""
        return decode_file(self.files[i], self.recipe.resize_size, self.recipe.interpolation)

    def fetch(self, indices: Tensor) -> list[Tensor]:
        """See `Pictures.fetch`."""
        with quiet_decoders():
            return [self.read(i) for i in indices.tolist()]


class CachedPhotos:
    """Photos decoded once into a memory-mapped file; made again when a photo changes."""

    in_memory = True

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.labels, self.names, self.files = split.labels, split.names, split.files
        view = f"{recipe.resize_size} {recipe.interpolation}"
        paths = "\n".join(str(file.resolve()) for file in split.files)
        path = cache_dir() / "pictures" / f"{_hashed(view, paths)}.pictures"
        stats = [file.stat() for file in split.files]
        signature = _hashed(view, paths, repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]))
        read = PhotoFiles(split, recipe).read
        with quiet_decoders():
            self.stored: StoredPictures = stored_pictures(path, signature, len(split), read, threads=cores())

    def fetch(self, indices: Tensor) -> list[Tensor]:
        """See `Pictures.fetch`; the pictures are views into the cache, not to be changed."""
        return [self.stored[i] for i in indices.tolist()]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_task(task: Task, recipe: Recipe, mode: str) -> dict[str, Pictures]:
    """The pictures of each split, ready for one recipe; `mode` as in `helpers.data.loaders.make_loaders`.

    Raises:
        HelpersError: if photos cannot be decoded, or in mode "memory" their cache cannot be written.
    """
    splits = {part: split for part in ("train", "val", "test") if (split := getattr(task, part)) is not None}
    keep = mode == "memory" or (mode == "auto" and _fits(splits, recipe))
    try:
        opened = {part: _open(split, recipe, keep) for part, split in splits.items()}
    except HelpersError as error:
        if mode == "memory" or not isinstance(error.__cause__, OSError):
            raise
        warn(f"photos are decoded anew in every epoch: {error}")
        return {part: _open(split, recipe, False) for part, split in splits.items()}
    _warn_of_equal_pixels(opened)
    return opened


def _open(split: Split, recipe: Recipe, keep: bool) -> Pictures:
    if split.images is not None:
        return DrawnPictures(split, recipe)
    return CachedPhotos(split, recipe) if keep else PhotoFiles(split, recipe)


def _fits(splits: dict[str, Split], recipe: Recipe) -> bool:
    needed = sum(len(split) for split in splits.values()) * 3 * USUAL_SHAPE * recipe.resize_size**2
    place = cache_dir()
    while not place.exists():
        place = place.parent
    return needed <= min(BUDGET, shutil.disk_usage(place).free / 2)


def _warn_of_equal_pixels(opened: dict[str, Pictures]) -> None:
    """Name photos of two splits whose files differ but whose pixels do not (other metadata, another format)."""
    cached = [pictures for pictures in opened.values() if isinstance(pictures, CachedPhotos)]
    pairs = []
    for one, two in combinations(cached, 2):
        places = {(one.stored.sizes[i], one.stored.checksums[i]): i for i in range(len(one.stored))}
        for j in range(len(two.stored)):
            i = places.get((two.stored.sizes[j], two.stored.checksums[j]))
            if i is None or not torch.equal(one.stored[i], two.stored[j]):
                continue
            if not filecmp.cmp(one.files[i], two.files[j], shallow=False):  # equal files: `load_task` said so
                pairs.append(f"{one.files[i]} = {two.files[j]}")
    if pairs:
        more = f"; and {len(pairs) - 10} more" if len(pairs) > 10 else ""
        warn(
            f"{len(pairs)} photos stand in two splits, saved in different ways, so that scores flatter the model; "
            f"keep one of each: {'; '.join(pairs[:10])}{more}."
        )


def _hashed(*texts: str) -> str:
    return hashlib.sha256(os.fsencode("\0".join(texts))).hexdigest()[:24]
