"""Boxes and masks of the drawn flowers, for detection and segmentation: read off the drawing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from drawn import flowers
from drawn.canvas import check
from drawn.species import TABLE
from drawn.stamps import Layer, paint, without_color


class Annotation(NamedTuple):
    """Where the flowers of one image are.

    Attributes:
        mask: uint8 (size, size): 0 where no flower is, else the number of the flower that is seen there, from 1.
        boxes: float32 (F, 4): left, top, right and bottom of what is seen of flower 1 to F, in pixels from the upper
            left corner; right and bottom are the first column and row beyond it.
    """

    mask: Tensor
    boxes: Tensor


def annotate(
    labels: Sequence[int], size: int = 64, seed: int = 0, first: int = 0, least: float = 0.01
) -> list[Annotation]:
    """Bounding boxes and instance masks of the images that `drawn.flowers.draw` gives for the same arguments.

    Args:
        labels: which species, as indices into `drawn.flowers.SPECIES`.
        size: width and height in pixels, at least 16.
        seed: as for `draw`.
        first: number of the first image.
        least: flowers of which less than this fraction of the image is seen are left out.

    Raises:
        ValueError: for a label that is no species, a size under 16 or a negative seed.
    """
    labels = check(labels, len(TABLE), size, seed)
    return [_annotation(label, first + i, size, seed, least) for i, label in enumerate(labels)]


def _annotation(label: int, number: int, size: int, seed: int, least: float) -> Annotation:
    parts = flowers.parts(TABLE[label], flowers.generator(seed, number, label), size)
    seen = _visible([*parts.flowers, parts.front], size)[:-1]
    seen = [mask for mask in seen if mask.mean() >= least]
    mask = np.zeros((size, size), np.uint8)
    for flower, where in enumerate(seen, 1):
        mask[where] = flower
    boxes = torch.tensor([_box(where) for where in seen], dtype=torch.float32).reshape(-1, 4)
    return Annotation(torch.from_numpy(mask), boxes)


def _visible(objects: list[list[Layer]], size: int) -> list[np.ndarray]:
    """Of each object, the farthest first, the pixels that show more of it than of anything else: bool (size, size)."""
    through = np.ones((len(objects), 3, size, size), np.float32)
    paint(through, [[without_color(layer) for layer in layers] for layers in objects])
    nearer, seen = np.ones((size, size), np.float32), []
    for transparency in through[::-1, 0]:
        seen.append((1 - transparency) * nearer > 0.5)
        nearer = nearer * transparency
    return seen[::-1]


def _box(where: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
