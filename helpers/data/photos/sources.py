"""Where data loaders find a task's images: in memory, in the cache of decoded photos, or in the photo files."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

from torch import Tensor

from helpers.data.photos.cache import stored_images
from helpers.data.photos.decoding import decode_for, open_photo, quiet_decoders
from helpers.data.preprocessing import Preprocessing
from helpers.data.tasks import Split, Task
from helpers.data.transforms import resize_as
from helpers.errors import HelpersError, note, warn
from helpers.files import cache_dir

BUDGET = 4 * 2**30
"""Photos of a task are kept decoded if that takes at most so many bytes of disk."""


class Images(ABC):
    """Labeled images, resized as the preprocessing says but not yet cropped.

    Attributes:
        labels: int64, shape (N,).
        names: what to call each image in a message.
        in_memory: whether fetching costs no decoding.
    """

    in_memory = True

    def __init__(self, split: Split, preprocessing: Preprocessing) -> None:
        self.labels, self.names, self.files = split.labels, split.names, split.files
        self.preprocessing = preprocessing

    @abstractmethod
    def fetch(self, indices: Tensor) -> Tensor | list[Tensor]:
        """The images at `indices`, not to be changed: uint8 (B, 3, H, W), or a list of (3, H, W)."""


class DrawnImages(Images):
    """Images of one size, kept in memory as they were drawn."""

    def __init__(self, split: Split, preprocessing: Preprocessing) -> None:
        super().__init__(split, preprocessing)
        self.pixels = split.images.permute(0, 2, 3, 1).contiguous()

    def fetch(self, indices: Tensor) -> Tensor:
        """Resize them."""
        images = self.pixels.index_select(0, indices).permute(0, 3, 1, 2)
        return resize_as(images, self.preprocessing)


class PhotoFiles(Images):
    """Photos that are decoded from their files whenever they are asked for."""

    in_memory = False

    def fetch(self, indices: Tensor) -> list[Tensor]:
        """Decode them."""
        with quiet_decoders():
            return [decode_for(self.files[i], self.preprocessing) for i in indices.tolist()]


class CachedPhotos(Images):
    """Photos decoded once into a memory-mapped file; decoded again when a photo changes."""

    def __init__(self, split: Split, preprocessing: Preprocessing) -> None:
        super().__init__(split, preprocessing)
        how = replace(preprocessing, image_size=0, std=())  # which make no difference
        content = repr(how), "\n".join(str(file.resolve()) for file in self.files)
        stats = [file.stat() for file in self.files]
        signature = _hashed(*content, repr([(stat.st_size, stat.st_mtime_ns) for stat in stats]))
        path = cache_dir() / "images" / f"{_hashed(*content)}.safetensors"
        with quiet_decoders():
            self.stored = stored_images(path, signature, len(split), self._decode, threads=cores())

    def _decode(self, i: int) -> Tensor:
        return decode_for(self.files[i], self.preprocessing)

    def fetch(self, indices: Tensor) -> list[Tensor]:
        """Views into the cache."""
        return [self.stored[i] for i in indices.tolist()]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual_workers() -> int:
    """How many processes should decode photos: none on two cores or fewer, or where processes start slowly."""
    return 0 if cores() <= 2 or sys.platform != "linux" else min(4, cores() // 2)


def open_task(task: Task, preprocessing: Preprocessing, mode: str) -> dict[str, Images]:
    """The images of each split, ready for one preprocessing; `mode` as in `helpers.data.loaders.make_loaders`.

    Raises:
        HelpersError: if photos cannot be decoded, or in mode "memory" their cache cannot be written.
    """
    splits = {part: split for part in ("train", "val", "test") if (split := getattr(task, part)) is not None}
    if task.train.files is not None and preprocessing.resize == "crop":
        _say_what_the_crop_hides(task.train.files, preprocessing)
    keep = mode == "memory" or (mode == "auto" and _fits(splits, preprocessing))
    try:
        return {part: _open(split, preprocessing, keep) for part, split in splits.items()}
    except HelpersError as error:
        if mode == "memory" or not isinstance(error.__cause__, OSError):
            raise
        warn(f"photos are decoded anew in every epoch: {error}")
        return {part: _open(split, preprocessing, False) for part, split in splits.items()}


def _open(split: Split, preprocessing: Preprocessing, keep: bool) -> Images:
    if split.images is not None:
        return DrawnImages(split, preprocessing)
    return CachedPhotos(split, preprocessing) if keep else PhotoFiles(split, preprocessing)


def _fits(splits: dict[str, Split], preprocessing: Preprocessing) -> bool:
    photo = 3 * 1.4 * preprocessing.resize_size**2  # the longer side is usually 1.4 times the shorter one
    place = next(place for place in (cache_dir(), *cache_dir().absolute().parents) if place.exists())
    return photo * sum(map(len, splits.values())) <= min(BUDGET, shutil.disk_usage(place).free / 2)


def _say_what_the_crop_hides(files: Sequence[Path], preprocessing: Preprocessing) -> None:
    """Note where over a third of most photos lies beside the central square, judged by every so many of them."""
    shapes = []
    for file in files[:: 1 + len(files) // 100]:
        with suppress(Exception), quiet_decoders(), open_photo(file) as image:
            shapes.append(min(image.size) / max(image.size))
    if shapes and median(shapes) < 0.66:  # 2 / 3, but photos of 3 to 2 are rounded to whole pixels
        seen = median(shapes) * (preprocessing.image_size / preprocessing.resize_size) ** 2
        note(
            f"the network sees the central square of a photo, which hides {1 - seen:.0%} or more of most photos here. "
            "To show them whole, squash or pad them (--resize, Preprocessing.with_resize)."
        )


def _hashed(*texts: str) -> str:
    return hashlib.sha256(os.fsencode("\0".join(texts))).hexdigest()[:24]
