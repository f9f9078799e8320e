"""Classification tasks: classes, and images to train with, to validate with and to test on."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from helpers.errors import HelpersError


@dataclass(frozen=True, eq=False)
class Split:
    """Labeled images: either in memory (`images`) or as photo files (`files`).

    Attributes:
        labels: int64 class indices, shape (N,).
        images: uint8 RGB images, shape (N, 3, H, W), or None.
        files: N photo files, or None.
    """

    labels: Tensor
    images: Tensor | None = None
    files: tuple[Path, ...] | None = None

    def __post_init__(self) -> None:
        contents = self.images if self.images is not None else self.files
        if contents is None or len(contents) != len(self.labels):
            raise HelpersError(
                f"a split needs one image for each of its {len(self.labels)} labels, but has "
                f"{0 if contents is None else len(contents)}; give `images` or `files` of the same length."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """What to call each image in a message: the file, or its place in the split."""
        if self.files is not None:
            return [str(file) for file in self.files]
        return [f"image {i}" for i in range(len(self))]

    def subset(self, indices: Tensor) -> Split:
        """The images at `indices` (int64, shape (M,)), in that order."""
        chosen = indices.tolist()
        return Split(
            self.labels[indices],
            None if self.images is None else self.images[indices],
            None if self.files is None else tuple(self.files[i] for i in chosen),
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: class names (label k is `classes[k]`) and its splits.

    `value_range` is black and white in gray photos of more than 8 bits (see `helpers.data.photos.values`).
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None = None
    value_range: tuple[float, float] | None = None

    def few(self, n: int, seed: int = 0) -> Task:
        """The same task with `n` training images a class, drawn at random; `val` and `test` stay whole.

        With one seed, a smaller `n` takes a part of what a larger `n` takes.

        Raises:
            HelpersError: if a class has fewer than `n` training images.
        """
        if n < 1:
            raise HelpersError(f"few({n}) leaves nothing to learn from; ask for at least 1 image a class.")
        generator = torch.Generator().manual_seed(seed)
        chosen, short = [], []
        for label, name in enumerate(self.classes):
            members = (self.train.labels == label).nonzero()[:, 0]
            members = members[torch.randperm(len(members), generator=generator)]
            if len(members) < n:
                short.append(f"{name} ({len(members)})")
            chosen.append(members[:n])
        if short:
            raise HelpersError(
                f"few({n}) asks for {n} training images a class, but there are fewer of: {', '.join(short)}; "
                "ask for fewer, or add images."
            )
        return replace(self, train=self.train.subset(torch.cat(chosen).sort().values))

    def fingerprint(self) -> str:
        """A hash of classes, labels and images (for photo files: path, size and time of change), 16 digits."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for split in (self.train, self.val, self.test):
            if split is None:
                digest.update(b"no split")
                continue
            digest.update(split.labels.numpy().tobytes())
            if split.images is not None:
                digest.update(split.images.contiguous().numpy().data)
            for file in split.files or ():
                stat = file.stat()
                digest.update(os.fsencode(f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
        return digest.hexdigest()[:16]
