"""Drawn images on disk: folders of class folders for any tool, and contact sheets to look at.

`python -m drawn.contact_sheets DIR` writes a contact sheet of each set into a folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import HelpersError
from helpers.files import atomic_write

if TYPE_CHECKING:
    from PIL.Image import Image

_AT_ONCE = 64
_LABEL_WIDTH = 118


class _Set(NamedTuple):
    classes: tuple[str, ...]
    draw: Callable[[Sequence[int], int, int, int], NDArray[np.uint8]]  # labels, size, seed, number of the first


def write_folder(kind: str, out: str | Path, count: int, size: int = 64, seed: int = 0) -> list[str]:
    """Write drawn images as PNG files into one folder per class.

    Image i shows class i modulo the number of classes and is the image that `draw` gives for it. The folder
    appears whole or not at all: everything is written beside it and renamed at the end.

    Args:
        kind: "flowers", "slides" or "source".
        out: the folder to make; it may exist if it is empty.
        count: how many images in all, at least 1.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of images.

    Returns:
        The names of the class folders.

    Raises:
        HelpersError: if an argument makes no sense, the folder is not empty, or the disk refuses.
    """
    images = _set(kind)
    if count < 1:
        raise HelpersError(f"count={count} asks for no image; ask for at least 1.")
    _check(size, seed)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HelpersError(f"{out} is not an empty folder; name another one, or empty it.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
            whole = Path(beside) / "whole"
            for number, label, image in _numbered(images, count, size, seed):
                folder = whole / images.classes[label]
                folder.mkdir(parents=True, exist_ok=True)
                _image(image).save(folder / f"{number:06d}.png")
            names = sorted(entry.name for entry in whole.iterdir())
            if out.exists():
                out.rmdir()
            whole.rename(out)
    except OSError as error:
        raise HelpersError(
            f"{out} could not be written ({error.strerror or error}); free some space, or name another folder."
        ) from error
    return names


def contact_sheet(kind: str, size: int = 64, columns: int = 12, seed: int = 0, rows: int | None = None) -> Image:
    """A sheet with one row of images per class, its name before it.

    Args:
        kind: "flowers", "slides" or "source".
        size: width and height of each image in pixels, at least 16.
        columns: images per class.
        seed: another seed, another set of images.
        rows: how many classes, spread evenly over all; by default all, but 24 of the source's.

    Returns:
        an RGB image.

    Raises:
        HelpersError: if an argument makes no sense.
    """
    from PIL import Image, ImageDraw

    images = _set(kind)
    _check(size, seed)
    total = len(images.classes)
    rows = min(total, 24) if rows is None else rows
    if columns < 1 or not 1 <= rows <= total:
        raise HelpersError(f"columns={columns}, rows={rows}: ask for a column or more, and 1 to {total} rows.")
    shown = [row * total // rows for row in range(rows)]
    drawn = images.draw([label for label in shown for _ in range(columns)], size, seed, 0)
    grid = drawn.reshape(rows, columns, 3, size, size).transpose(0, 3, 1, 4, 2)
    sheet = Image.new("RGB", (_LABEL_WIDTH + columns * size, rows * size), "white")
    sheet.paste(Image.fromarray(grid.reshape(rows * size, columns * size, 3)), (_LABEL_WIDTH, 0))
    pen = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        pen.text((8, (row + 0.5) * size), images.classes[label], fill="black", anchor="lm", font_size=13)
    return sheet


def save_sheets(folder: str | Path, size: int = 64) -> list[Path]:
    """Write contact sheets of flowers, slides and source images into a folder, as PNG files.

    Raises:
        HelpersError: if the folder cannot be written.
    """
    paths = []
    for kind in ("flowers", "slides", "source"):
        path = Path(folder) / f"{kind}.png"
        sheet = contact_sheet(kind, size)
        atomic_write(path, lambda file, sheet=sheet: sheet.save(file, format="PNG", optimize=True))
        paths.append(path)
    return paths


def _set(kind: str) -> _Set:
    if kind in ("flowers", "slides"):
        module = import_module(f"drawn.{kind}")
        classes = module.SPECIES if kind == "flowers" else module.CLASSES
        return _Set(classes, lambda labels, size, seed, first: module.draw(labels, size, seed, first).numpy())
    if kind == "source":
        from drawn.source import CLASSES
        from drawn.source.classes import draw_one

        def draw(labels: Sequence[int], size: int, seed: int, first: int) -> NDArray[np.uint8]:
            return np.stack([draw_one(label, first + i, size, seed) for i, label in enumerate(labels)])

        return _Set(CLASSES, draw)
    raise HelpersError(f"there is no set {kind!r}; name flowers, slides or source.")


def _numbered(images: _Set, count: int, size: int, seed: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Number, label and image (3, size, size), some at a time, so that a large folder needs little memory."""
    at_once = max(1, _AT_ONCE * 64 * 64 // size**2)
    for first in range(0, count, at_once):
        labels = [number % len(images.classes) for number in range(first, min(first + at_once, count))]
        for offset, image in enumerate(images.draw(labels, size, seed, first)):
            yield first + offset, labels[offset], image


def _image(image: NDArray[np.uint8]) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))


def _check(size: int, seed: int) -> None:
    if size < 16:
        raise HelpersError(f"size={size} is too small to show anything; ask for at least 16 pixels.")
    if seed < 0:
        raise HelpersError(f"seed={seed} is negative; use 0 or any larger whole number.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m drawn.contact_sheets DIR")
    try:
        print(*save_sheets(sys.argv[1]), sep="\n")
    except HelpersError as error:
        sys.exit(f"error: {error}")
