"""Stamps: copies of shapes, each with its own place, colors and light, laid one over the other on images.

All stamps of several images are computed together, as one long list of pixels, and then laid image by image.
Each pixel sees only its own stamp, so the result is the same whichever images are drawn together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drawn.shapes import CHANNELS, MARGIN, Shape, table

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

_AT, _FRAME, _LIGHT = slice(0, 2), slice(2, 6), slice(6, 9)
_BASE, _TIP = slice(9, 12), slice(12, 15)
_BEND, _SHADOW, _BLUR, _OPACITY, _COLUMNS = 18, 19, 20, 21, 22


# Pixels drawn together: enough to keep NumPy busy, few enough to stay in the processor's cache.
_TOGETHER = 4 * 64 * 64
_BLOCK = 4096

# Resolutions of the tables; each stamp reads the first that is no coarser than what its place on the image can show.
_CELLS = (16, 32, 64, 128, 256)


class Layer(NamedTuple):
    """Stamps of one shape, in painting order: one row of numbers for each."""

    shape: Shape
    rows: Numbers


class Scene(NamedTuple):
    """An image to be: its ground (3, size, size), what is laid on it in order, and what makes bytes of the result."""

    ground: Array
    layers: list[Layer]
    finish: Callable[[Array], NDArray[np.uint8]]


def draw_all(labels: Sequence[int], size: int, scene: Callable[[int, int], Scene]) -> Tensor:
    """Draw `scene(i, label)` for each label: uint8 tensor (N, 3, size, size)."""
    images = np.empty((len(labels), 3, size, size), np.uint8)
    together = max(1, _TOGETHER // size**2)
    for start in range(0, len(labels), together):
        scenes = [scene(start + k, label) for k, label in enumerate(labels[start : start + together])]
        grounds = np.stack([scene.ground for scene in scenes])
        paint(grounds, [scene.layers for scene in scenes])
        for k, (ground, one) in enumerate(zip(grounds, scenes, strict=True)):
            images[start + k] = one.finish(ground)
    return torch.from_numpy(images)


def stamps(
    shape: Shape,
    at: Numbers,
    frame: Numbers,
    colors: Numbers,
    light: Numbers,
    *,
    bend: Numbers | float = 0.0,
    shadow: float = 0.0,
    blur: float = 0.0,
    opacity: float = 1.0,
) -> Layer:
    """Describe K stamps of one shape.

    Args:
        shape: what is stamped.
        at: where the shape's origin lies, (K, 2): x and y in image widths, y downwards.
        frame: the shape's axes on the image, (K, 2, 2): `frame[k, :, 0]` is where one unit along it leads.
        colors: base, tip and mark color, (3, 3) or (K, 3, 3), linear RGB.
        light: (K, 3); brightness is light[0] + light[1] * slope along + light[2] * slope across.
        bend: how far the far end is bent sideways, in the shape's own units.
        shadow: darkness of the shadow around the shape, 0 to 1.
        blur: width of the soft edge in image widths; 0 is in focus.
        opacity: 1 hides what is behind.
    """
    count = len(at)
    rows = np.empty((count, _COLUMNS))
    rows[:, _AT] = at
    rows[:, _FRAME] = frame.reshape(count, 4)
    rows[:, _LIGHT] = light
    rows[:, 9:18] = colors.reshape(-1, 9)
    rows[:, _BEND] = bend
    rows[:, _SHADOW] = shadow
    area = np.abs(rows[:, 2] * rows[:, 5] - rows[:, 3] * rows[:, 4])
    rows[:, _BLUR] = np.minimum(blur, 1.6 * MARGIN * np.sqrt(area))
    rows[:, _OPACITY] = opacity
    return Layer(shape, rows)


def without_color(layer: Layer) -> Layer:
    """The layer in black and without its shadow: painted on ones, it leaves how much shows through."""
    rows = layer.rows.copy()
    rows[:, _BASE.start : _BEND], rows[:, _SHADOW] = 0.0, 0.0
    return Layer(layer.shape, rows)


def paint(images: Array, scenes: Sequence[Sequence[Layer]]) -> None:
    """Lay each scene's layers, in order, on its image; (N, 3, size, size), linear light, in place."""
    size = images.shape[-1]
    layers = [layer for scene in scenes for layer in scene]
    owner = np.repeat(np.arange(len(scenes)), [sum(len(layer.rows) for layer in scene) for scene in scenes])
    rows = np.concatenate([layer.rows for layer in layers])
    shapes = list(dict.fromkeys(layer.shape for layer in layers))
    number = {shape: n for n, shape in enumerate(shapes)}
    which = np.repeat([number[layer.shape] for layer in layers], [len(layer.rows) for layer in layers])
    reach = np.hypot(rows[:, 2], rows[:, 4]) * size * (1 + 2 * MARGIN) / (1 + rows[:, _BLUR] * size)
    keys = which * len(_CELLS) + np.searchsorted(_CELLS[:-1], reach)
    order = np.argsort(keys, kind="stable")
    spans = _spans(rows[order], np.array([shape.half_width for shape in shapes])[which[order]], size)
    tables = [(shapes[key // len(_CELLS)], _CELLS[key % len(_CELLS)]) for key in keys[order][spans.kept].tolist()]
    keep, add = _shade(rows[order][spans.kept], spans, tables, size)
    place = np.full(len(rows), -1)
    place[order[spans.kept]] = np.arange(len(spans.kept))
    boxes = np.stack([spans.x, spans.y, spans.width, spans.height, spans.start], 1).tolist()
    for image, k in zip(owner.tolist(), place.tolist(), strict=True):
        if k >= 0:
            x, y, width, height, start = boxes[k]
            view, some = images[image, :, y : y + height, x : x + width], slice(start, start + width * height)
            view *= keep[some].reshape(height, width)
            view += add[:, some].reshape(3, height, width)


class _Spans(NamedTuple):
    """Which pixels each stamp covers, row by row, and where its box lies in the image and in the long list."""

    kept: NDArray[np.int64]  # stamps that touch the image
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    start: NDArray[np.int64]
    pixels: NDArray[np.int64]  # pixels of each stamp
    target: NDArray[np.int64]  # each pixel's place in the boxes
    u: Array
    v: Array


def _spans(rows: Numbers, half: Numbers, size: int) -> _Spans:
    """Find the pixels inside each stamp's margin, and their coordinates u (along) and v (across) in the shape."""
    a, b, c, d = rows[:, 2], rows[:, 3], rows[:, 4], rows[:, 5]
    inverse = np.stack([d, -b, -c, a]) / (a * d - b * c)
    half = half + MARGIN + np.abs(rows[:, _BEND]) * (1 + MARGIN) ** 2
    middle = rows[:, 1] + 0.5 * c
    tall = np.abs(c) * (0.5 + MARGIN) + np.abs(d) * half
    top = np.clip(np.ceil((middle - tall) * size - 0.5), 0, size).astype(int)
    bottom = np.clip(np.floor((middle + tall) * size + 0.5), 0, size).astype(int)
    height = np.maximum(bottom - top, 0)

    line_of = np.repeat(np.arange(len(rows)), height)
    first_line = np.cumsum(height) - height
    line = np.arange(len(line_of)) - first_line[line_of]
    down = (line + top[line_of] + 0.5) / size - rows[line_of, 1]
    ux, uy, vx, vy = inverse[:, line_of]
    low_u, high_u = _interval(ux, uy * down, np.float64(-MARGIN), np.float64(1 + MARGIN))
    low_v, high_v = _interval(vx, vy * down, -half[line_of], half[line_of])
    left = rows[line_of, 0]
    begin = np.clip(np.ceil((np.maximum(low_u, low_v) + left) * size - 0.5), 0, size).astype(int)
    end = np.clip(np.floor((np.minimum(high_u, high_v) + left) * size + 0.5), 0, size).astype(int)
    length = np.maximum(end - begin, 0)

    pixels = np.bincount(line_of, length, len(rows)).astype(int)
    kept = np.flatnonzero(pixels)
    edge = np.full((2, len(rows)), size)
    np.minimum.at(edge[0], line_of, np.where(length > 0, begin, size))
    np.minimum.at(edge[1], line_of, np.where(length > 0, size - end, size))
    x, width = edge[0], size - edge[1] - edge[0]
    area = np.where(pixels > 0, width * height, 0)
    start = np.cumsum(area) - area

    across = (begin + 0.5) / size - left
    step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    target = np.repeat(start[line_of] + line * width[line_of] + begin - x[line_of], length) + step
    step = step.astype(np.float32)
    u = np.repeat((ux * across + uy * down).astype(np.float32), length)
    u += step * np.repeat((ux / size).astype(np.float32), length)
    v = np.repeat((vx * across + vy * down).astype(np.float32), length)
    v += step * np.repeat((vx / size).astype(np.float32), length)
    boxes = (part[kept] for part in (x, top, width, height, start, pixels))
    return _Spans(kept, *boxes, target, u, v)


def _interval(slope: Numbers, offset: Numbers, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Where low <= offset + slope * x <= high."""
    slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
    one, other = (low - offset) / slope, (high - offset) / slope
    return np.minimum(one, other), np.maximum(one, other)


def _shade(rows: Numbers, spans: _Spans, tables: list[tuple[Shape, int]], size: int) -> tuple[Array, Array]:
    """What to keep of the image and what to add to it, for every pixel of every box: (P,) and (3, P)."""
    area = np.abs(rows[:, 2] * rows[:, 5] - rows[:, 3] * rows[:, 4])
    each = rows.T.copy()
    each[0] = np.sqrt(area) * size / (1.0 + rows[:, _BLUR] * size)
    each[_TIP] -= each[_BASE]
    needed = each[[0, *range(_LIGHT.start, _BLUR), _OPACITY]].astype(np.float32)
    each = np.repeat(needed, spans.pixels, axis=1)
    sharp, light, base, to_tip, marks = each[0], each[1:4], each[4:7], each[7:10], each[10:13]
    bend, shadow, opacity = each[13:]
    u = spans.u
    v = spans.v - bend * (u * u)
    distance, tip, mark, shade, along, across = _sample(u, v, spans.pixels, tables)

    cover = np.clip(distance * sharp + np.float32(0.5), 0, 1)
    cover *= cover * (3 - 2 * cover)
    cover *= opacity
    dark = np.clip(1 + distance * np.float32(1 / MARGIN), 0, 1)
    dark *= dark
    dark *= shadow
    total = int(spans.start[-1] + spans.width[-1] * spans.height[-1])
    keep = np.ones(total, np.float32)
    keep[spans.target] = (1 - cover) * (1 - dark)
    bright = np.maximum(light[0] + light[1] * along + light[2] * across, np.float32(0.06))
    bright *= shade
    bright *= cover
    add = np.zeros((3, total), np.float32)
    for c in range(3):
        color = base[c] + tip * to_tip[c]
        color += mark * (marks[c] - color)
        color *= bright
        add[c, spans.target] = color
    return keep, add


def _sample(u: Array, v: Array, pixels: NDArray[np.int64], tables: list[tuple[Shape, int]]) -> tuple[Array, ...]:
    """The tables' six channels at (u, v), bilinear: each stamp reads its own table."""
    cells = np.array([cells for _, cells in tables])
    half = np.array([shape.half_width + MARGIN for shape, _ in tables])
    each = np.stack([cells / (1 + 2 * MARGIN), MARGIN * cells / (1 + 2 * MARGIN) - 0.5, cells / (2 * half), cells])
    scale_u, shift_u, scale_v, most = np.repeat(each.astype(np.float32), pixels, axis=1)
    most -= np.float32(1.01)
    row = np.clip(u * scale_u + shift_u, 0, most)
    column = np.clip(v * scale_v + (most * np.float32(0.5) + np.float32(0.005)), 0, most)
    i, j = row.astype(np.int32), column.astype(np.int32)
    down, right = row - i, column - j
    first = i * np.repeat(cells.astype(np.int32), pixels) + j
    values = np.empty((6, len(u)), np.float32)
    ends = np.cumsum(pixels).tolist()
    begin = 0
    for k, entry in enumerate(tables):
        if k + 1 < len(tables) and tables[k + 1] == entry:
            continue
        for start in range(begin, ends[k], _BLOCK):
            some = slice(start, min(start + _BLOCK, ends[k]))
            values[:, some] = _between(table(*entry), entry[1], first[some], down[some], right[some])
        begin = ends[k]
    return tuple(values)


def _between(values: Array, cells: int, first: NDArray[np.int32], down: Array, right: Array) -> Array:
    """Rows of a table, interpolated between four neighbors; `first` (P,) is the upper left one. Gives (6, P)."""
    places = first + np.array([[0], [cells]])
    left = np.take(values, places, axis=0, mode="clip")
    places += 1
    other = np.take(values, places, axis=0, mode="clip")
    other -= left
    other *= np.repeat(right, CHANNELS).reshape(-1, CHANNELS)
    left += other
    upper, lower = left
    lower -= upper
    lower *= np.repeat(down, CHANNELS).reshape(-1, CHANNELS)
    upper += lower
    return upper.T[:6]
