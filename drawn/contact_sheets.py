"""Drawn images on disk: folders of class folders for any tool, and contact sheets to look at.

`python -m drawn.contact_sheets DIR` writes a contact sheet of each set into a folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from drawn import flowers, slides, source
from drawn.source.classes import draw_one

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
        ValueError: if an argument makes no sense, or the folder is not empty.
        OSError: if it cannot be written.
    """
    images = _set(kind)
    if count < 1:
        raise ValueError(f"count={count} asks for no image; ask for at least 1.")
    _check(size, seed)
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not an empty folder; name another one, or empty it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        whole = Path(beside) / "whole"
        for number, label, image in _numbered(images, count, size, seed):
            folder = whole / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:06d}.png")
        names = sorted(entry.name for entry in whole.iterdir())
        if out.exists():
            out.rmdir()
        whole.rename(out)
    return names


def contact_sheet(kind: str, size: int = 64, columns: int = 12, seed: int = 0, rows: int | None = None) -> Image.Image:
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
        ValueError: if an argument makes no sense.
    """
    images = _set(kind)
    _check(size, seed)
    total = len(images.classes)
    rows = min(total, 24) if rows is None else rows
    if columns < 1 or not 1 <= rows <= total:
        raise ValueError(f"columns={columns}, rows={rows}: ask for a column or more, and 1 to {total} rows.")
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
        OSError: if the folder cannot be written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in ("flowers", "slides", "source"):
        paths.append(Path(folder) / f"{kind}.png")
        contact_sheet(kind, size).save(paths[-1], optimize=True)
    return paths


def _set(kind: str) -> _Set:
    if kind == "source":
        return _Set(source.CLASSES, _draw_source)
    if kind not in ("flowers", "slides"):
        raise ValueError(f"there is no set {kind!r}; name flowers, slides or source.")
    module = {"flowers": flowers, "slides": slides}[kind]
    classes = flowers.SPECIES if kind == "flowers" else slides.CLASSES
    return _Set(classes, lambda labels, size, seed, first: module.draw(labels, size, seed, first).numpy())


def _draw_source(labels: Sequence[int], size: int, seed: int, first: int) -> NDArray[np.uint8]:
    return np.stack([draw_one(label, first + i, size, seed) for i, label in enumerate(labels)])


def _numbered(images: _Set, count: int, size: int, seed: int) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Number, label and image (3, size, size), some at a time, so that a large folder needs little memory."""
    at_once = max(1, _AT_ONCE * 64 * 64 // size**2)
    for first in range(0, count, at_once):
        labels = [number % len(images.classes) for number in range(first, min(first + at_once, count))]
        for offset, image in enumerate(images.draw(labels, size, seed, first)):
            yield first + offset, labels[offset], image


def _check(size: int, seed: int) -> None:
    if size < 16:
        raise ValueError(f"size={size} is too small to show anything; ask for at least 16 pixels.")
    if seed < 0:
        raise ValueError(f"seed={seed} is negative; use 0 or any larger whole number.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m drawn.contact_sheets DIR")
    try:
        print(*save_sheets(sys.argv[1]), sep="\n")
    except OSError as error:
        sys.exit(f"error: {error}")
