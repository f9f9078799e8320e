"""The classes of the source task, and `draw`, which draws images of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from drawn.source.scene import (
    Layer,
    Pose,
    background,
    draw_object,
    draw_points,
    photograph,
    prepare,
    shades,
    turned,
)
from drawn.source.styles import OUTLINES, Fill, Palette, Rng, outline
from drawn.source.tables import Array, paint

Painter = Callable[[Rng, int], Array]
"""Draws one image of a class: (rng, size) -> float32 (size, size, 3)."""


def _contour(rng: Rng) -> Painter:
    """Textured radial contours, one inside the other, alone or a few together."""
    kinds = rng.choice(OUTLINES, size=3, p=(0.35, 0.2, 0.05, 0.12, 0.12, 0.1, 0.06))
    sizes = (1.0, rng.uniform(0.45, 0.8), rng.uniform(0.15, 0.4))
    count = rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25])
    layers = tuple(
        Layer(outline(str(kinds[i]), rng), sizes[i], Fill.random(rng, True), Palette.random(rng, 0.75))
        for i in range(count)
    )
    relief = rng.choice([0.0, 0.4])

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        mine = prepare(rng, layers)
        number = rng.choice([1, 2, 3, 5], p=[0.62, 0.2, 0.1, 0.08])
        for _ in range(number):
            scale = rng.uniform(0.45, 1.25) / number**0.4
            reach = 0.25 if number == 1 else 0.75
            draw_object(canvas, rng, mine, Pose.random(rng, scale, reach), relief)
        return canvas

    return paint_one


def _figure(rng: Rng) -> Painter:
    """One outline of which mostly only the form counts: fill and colors change from image to image."""
    radii = outline(str(rng.choice(OUTLINES)), rng)
    palette = Palette.random(rng, 0.25)
    fill = Fill.random(rng, True) if rng.random() < 0.4 else None

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        layer = Layer(radii, 1.0, fill or Fill.random(rng, rng.random() < 0.5), palette)
        pose = Pose.random(rng, rng.uniform(0.4, 1.0), 0.35)
        draw_object(canvas, rng, prepare(rng, (layer,), 0.05), pose, rng.choice([0.0, 0.4]))
        return canvas

    return paint_one


def _texture(rng: Rng) -> Painter:
    """A pattern that fills the frame."""
    fill = Fill.random(rng, False)
    palette = Palette.random(rng, 0.7)
    layer = Layer(np.ones(1), 1.0, fill, palette)

    def paint_one(rng: Rng, size: int) -> Array:
        x, y = turned(rng, size, rng.uniform(0.6, 1.7))
        return paint(fill.values(rng, x, y, None, None), shades(rng, layer))

    return paint_one


def _fractal(rng: Rng) -> Painter:
    """An iterated function system, drawn by the chaos game (Kataoka et al., ACCV 2020)."""
    points, kind = _chaos_game(rng)
    palette = Palette.random(rng, 0.6)
    gain = rng.uniform(0.5, 2)

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        pose = Pose.random(rng, rng.uniform(0.5, 1.2), 0.3)
        take = slice(0, min(len(points), size * size))
        draw_points(canvas, rng, points[take], kind[take], palette.colors(rng)[:3], pose, gain)
        return canvas

    return paint_one


def _chaos_game(rng: Rng, chains: int = 400, steps: int = 40) -> tuple[Array, Array]:
    """Points (n, 2) of a random iterated function system that fills enough of the frame, and the map of each."""
    while True:
        maps = rng.integers(2, 5)
        linear = rng.uniform(-1, 1, (maps, 2, 2))
        shift = rng.uniform(-1, 1, (maps, 2))
        area = np.abs(linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0])
        if (np.sqrt((linear**2).sum((1, 2))) > 1.15).any() or area.sum() < 0.35:
            continue
        chance = (area + 0.02) / (area + 0.02).sum()
        chosen = rng.choice(maps, size=(steps, chains), p=chance)
        x = y = np.zeros(chains)
        path = []
        for k in chosen:
            m, s = linear[k], shift[k]
            x, y = m[:, 0, 0] * x + m[:, 0, 1] * y + s[:, 0], m[:, 1, 0] * x + m[:, 1, 1] * y + s[:, 1]
            path.append(np.stack([x, y], 1))
        points = np.concatenate(path[10:])
        low, high = points.min(0), points.max(0)
        points = (points - (low + high) / 2) / ((high - low).max() / 2 + 1e-9)
        cells = np.unique(((points + 1) * 15.99).astype(int) @ np.array([32, 1]))
        if len(cells) > 110 and np.isfinite(points).all():
            return np.round(points, 9), np.minimum(np.concatenate(chosen[10:]), 2)


def _curve(rng: Rng) -> Painter:
    """A closed curve of a few circular motions (Fourier descriptors), drawn as a band of points."""
    speeds = rng.choice(np.arange(1, 9), size=3, replace=False) * rng.choice([-1, 1], 3)
    sizes, phases = rng.dirichlet([1.2, 1.2, 1.2]), rng.random(3)
    palette = Palette.random(rng, 0.4)
    t = np.arange(6000) * 0.6180339887 % 1
    angle = 2 * np.pi * (np.outer(t, speeds) + phases)
    points = np.round(np.stack([np.cos(angle) @ sizes, np.sin(angle) @ sizes], 1), 9)
    kind = (t * rng.integers(1, 7) * 3).astype(np.int64) % 3

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        width = rng.uniform(0.03, 0.12)
        spread = points + width * (rng.random(points.shape) - 0.5)
        pose = Pose.random(rng, rng.uniform(0.5, 1.1), 0.3)
        draw_points(canvas, rng, spread, kind, palette.colors(rng)[:3], pose, 1.0)
        return canvas

    return paint_one


def _leaves(rng: Rng) -> Painter:
    """Dead leaves: a heap of shapes of many sizes, each hiding what lies below (Lee, Mumford, Huang, 2001)."""
    radii = outline(str(rng.choice(OUTLINES)), rng)
    palette = Palette.random(rng, 0.8)
    fill = Fill.random(rng, True)
    small, power = rng.uniform(0.08, 0.3), rng.uniform(0.5, 2)
    squeeze = rng.uniform(0.1, 0.85)

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        shape = prepare(rng, (Layer(radii, 1.0, fill, palette),))[0]
        for _ in range(22):
            scale = min(small * rng.random() ** -power, 0.7)
            layer = (shape[0], shape[1], shades(rng, shape[1]))
            draw_object(canvas, rng, [layer], Pose.random(rng, scale, 1.0, squeeze), 0.3)
        return canvas

    return paint_one


def _arrangement(rng: Rng) -> Painter:
    """Small equal objects in an order that is the class's own: grid, circle, row, spiral or heap."""
    places = _places(rng)
    layers = tuple(
        Layer(outline(str(rng.choice(OUTLINES)), rng), s, Fill.random(rng, True), Palette.random(rng, 0.5))
        for s in (1.0, 0.5)[: rng.integers(1, 3)]
    )
    own = rng.random() < 0.5
    scale = rng.uniform(0.7, 1.3)

    def paint_one(rng: Rng, size: int) -> Array:
        canvas = background(rng, size)
        frame = Pose.random(rng, rng.uniform(0.55, 0.95), 0.2, 0.4)
        mine = (
            layers
            if own
            else (Layer(outline(str(rng.choice(OUTLINES)), rng), 1.0, Fill.random(rng, True), Palette(None)),)
        )
        mine = prepare(rng, mine)
        small = Pose.random(rng, 1.0, 0.0, 0.3).matrix
        for px, py in (places @ frame.matrix) * frame.scale:
            x, y = rng.normal((px + frame.x, py + frame.y), 0.02)
            draw_object(canvas, rng, mine, Pose(x, y, 0.9 * scale * frame.scale / len(places) ** 0.5, small), 0.3)
        return canvas

    return paint_one


def _places(rng: Rng) -> Array:
    kind, count = rng.integers(5), int(rng.integers(3, 13))
    k = np.arange(count)
    if kind == 0:
        columns = int(rng.integers(2, 5))
        grid = np.stack([k % columns, k // columns], 1) / max(columns - 1, (count - 1) // columns, 1) * 2 - 1
        return grid - grid.mean(0)
    if kind == 1:
        return np.stack([np.cos(2 * np.pi * k / count), np.sin(2 * np.pi * k / count)], 1)
    if kind == 2:
        return np.stack([k / (count - 1) * 2 - 1, rng.uniform(-0.5, 0.5) * (k % 2)], 1)
    if kind == 3:
        step = rng.uniform(0.4, 1.2)
        return np.stack([np.cos(step * k), np.sin(step * k)], 1) * ((k + 1) / count)[:, None]
    return rng.uniform(-1, 1, (count, 2))


FAMILIES: tuple[tuple[str, int, Callable[[Rng], Painter]], ...] = (
    ("contour", 400, _contour),
    ("figure", 130, _figure),
    ("texture", 150, _texture),
    ("fractal", 130, _fractal),
    ("curve", 50, _curve),
    ("leaves", 60, _leaves),
    ("arrangement", 80, _arrangement),
)

CLASSES: tuple[str, ...] = tuple(f"{name} {i + 1:03d}" for name, count, _ in FAMILIES for i in range(count))
_MAKERS = [make for _, count, make in FAMILIES for _ in range(count)]


@cache
def _painter(label: int) -> Painter:
    return _MAKERS[label](np.random.default_rng((7, label)))


def draw(labels: Sequence[int], size: int, seed: int) -> Tensor:
    """Draw one source image per label.

    Args:
        labels: class numbers, indices into `CLASSES`.
        size: width and height in pixels.
        seed: image i depends only on (labels[i], i, size, seed).

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        ValueError: if a label is no class number or the size is below 8.
    """
    if size < 8:
        raise ValueError(f"size={size} is too small for a source image; use 8 or more (the course uses 64).")
    out = np.empty((len(labels), 3, size, size), np.uint8)
    for i, label in enumerate(labels):
        if not 0 <= int(label) < len(CLASSES):
            raise ValueError(f"labels[{i}]={label} is no source class; use 0 to {len(CLASSES) - 1}.")
        out[i] = draw_one(int(label), i, size, seed)
    return torch.from_numpy(out)


def draw_one(label: int, index: int, size: int, seed: int) -> Array:
    """Image number `index` of class `label`; uint8 (3, size, size)."""
    rng = np.random.default_rng((11, seed, label, index))
    return photograph(_painter(label)(rng, size), rng)
