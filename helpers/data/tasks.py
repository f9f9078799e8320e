"""Tasks: what is to be told apart, with pictures to learn from, to choose by, and to be judged on.

`load_task` gives one `Task` for every kind of source: drawn pictures that live in memory, published photo sets, and
any folder of class folders.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from helpers.errors import HelpersError
from helpers.files import cache_dir

Draw = Callable[[Sequence[int], int, int], Tensor]


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled pictures: either in memory (`images`) or as photo files (`files`).

    Attributes:
        labels: int64 class indices, shape (N,).
        images: uint8 RGB pictures, shape (N, 3, H, W), or None.
        files: N photo files, or None.
    """

    labels: Tensor
    images: Tensor | None = None
    files: tuple[Path, ...] | None = None

    def __post_init__(self) -> None:
        contents = self.images if self.images is not None else self.files
        if contents is None or len(contents) != len(self.labels):
            raise HelpersError(
                f"a split needs one picture for each of its {len(self.labels)} labels, but has "
                f"{0 if contents is None else len(contents)}; give `images` or `files` of the same length."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """What to call each picture in a message: the file, or its place in the split."""
        if self.files is not None:
            return [str(file) for file in self.files]
        return [f"picture {i}" for i in range(len(self))]

    def subset(self, indices: Tensor) -> Split:
        """The pictures at `indices` (int64, shape (M,)), in that order."""
        chosen = indices.tolist()
        return Split(
            self.labels[indices],
            None if self.images is None else self.images[indices],
            None if self.files is None else tuple(self.files[i] for i in chosen),
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: class names (label k is `classes[k]`) and its splits."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None = None

    def few(self, n: int, seed: int = 0) -> Task:
        """The same task with `n` training pictures a class, drawn at random; `val` and `test` stay whole.

        With one seed, a smaller `n` takes a part of what a larger `n` takes.

        Raises:
            HelpersError: if a class has fewer than `n` training pictures.
        """
        if n < 1:
            raise HelpersError(f"few({n}) leaves nothing to learn from; ask for at least 1 picture a class.")
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
                f"few({n}) asks for {n} training pictures a class, but there are fewer of: {', '.join(short)}; "
                "ask for fewer, or add pictures."
            )
        return replace(self, train=self.train.subset(torch.cat(chosen).sort().values))

    def fingerprint(self) -> str:
        """A hash of classes, labels and pictures (for photo files: path, size and time of change), 16 digits."""
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
            when they are not there), or a folder; see `helpers.data.folders.load_folder` for what a folder may hold.
        root: where the published photos lie or are to be put; default: the cache folder.
        seed: which pictures are drawn; how a folder without splits is split.
        size: side of drawn pictures, in pixels.
        classes: how many classes to draw (the first so many); default: all.
        train_per_class: drawn training pictures a class.
        val_per_class: drawn validation pictures a class.
        test_per_class: drawn test pictures a class.

    Raises:
        HelpersError: if there is no such task or folder, or the folder cannot be learned from.
    """
    name = str(name_or_folder)
    if name in DRAWN:
        counts = (train_per_class, val_per_class, test_per_class)
        return _drawn(name, seed=seed, size=size, classes=classes, counts=counts)
    if name in PUBLISHED:
        from helpers.data import published

        return getattr(published, PUBLISHED[name])(root)
    if not Path(name).expanduser().is_dir():
        known = ", ".join([*DRAWN, *PUBLISHED])
        raise HelpersError(
            f"there is no task or folder {name!r}; name one of {known}, or a folder that holds one folder per class."
        )
    from helpers.data.folders import load_folder

    return load_folder(Path(name).expanduser(), seed=seed)


def _flowers() -> tuple[tuple[str, ...], Draw]:
    from helpers.drawn import flowers

    return tuple(flowers.SPECIES[:20]), flowers.draw


def _slides() -> tuple[tuple[str, ...], Draw]:
    from helpers.drawn import slides

    return tuple(slides.CLASSES), slides.draw


DRAWN: dict[str, Callable[[], tuple[tuple[str, ...], Draw]]] = {"flowers": _flowers, "slides": _slides}
PUBLISHED = {"flowers102": "flowers102", "ants-bees": "ants_bees"}


def _drawn(name: str, *, seed: int, size: int, classes: int | None, counts: tuple[int, int, int]) -> Task:
    names, draw = DRAWN[name]()
    wanted = len(names) if classes is None else classes
    if not 2 <= wanted <= len(names):
        raise HelpersError(f"{name} can be drawn in 2 to {len(names)} classes, not {wanted}; choose `classes` so.")
    if min(counts) < 1 or size < 16:
        raise HelpersError(
            f"{name} needs at least one picture a class in each split and a size of at least 16 pixels, "
            f"not {counts} and {size}; raise them."
        )
    splits = []
    for part, count in enumerate(counts):
        labels = torch.arange(wanted).repeat(count)  # in turn: a larger split begins with the pictures of a smaller one
        splits.append(Split(labels, images=_drawn_pictures(name, draw, labels.tolist(), size, 3 * seed + part)))
    return Task(name, names[:wanted], *splits)


def _drawn_pictures(name: str, draw: Draw, labels: list[int], size: int, seed: int) -> Tensor:
    """Pictures as `draw` gives them, kept for the next time (drawing takes a few milliseconds a picture)."""
    from helpers.data.picture_cache import stored_pictures

    code = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "drawn").rglob("*.py")):
        code.update(file.read_bytes())
    key = f"{name} {len(labels)} {max(labels) + 1} {size} {seed}"
    path = cache_dir() / "pictures" / f"{key.replace(' ', '-')}.pictures"
    drawn = cache(lambda: draw(labels, size, seed))
    try:
        stored = stored_pictures(path, f"{key} {code.hexdigest()}", len(labels), lambda i: drawn()[i])
    except HelpersError:
        return drawn()
    return stored.pixels.view(len(labels), size, size, 3).permute(0, 3, 1, 2).contiguous()
