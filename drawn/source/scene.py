"""Putting a source image together: background, objects with outline and light, points, and the camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drawn.source.styles import ANGLES, Fill, Palette, Rng, direction, outline, wobble
from drawn.source.tables import Array, grain, noise, paint, ramp

_TURNS = (ANGLES / (2 * np.pi)).astype(np.float32)


@lru_cache(maxsize=8)
def axis(size: int) -> Array:
    """Pixel centers of an image `size` pixels wide, in [-1, 1]."""
    return ((np.arange(size, dtype=np.float32) * 2 + 1) / size - 1).astype(np.float32)


@dataclass(frozen=True)
class Layer:
    """One surface of an object: its outline's table of radii, its size in the object, its fill and palette."""

    radii: Array
    size: float
    fill: Fill
    palette: Palette


@dataclass(frozen=True)
class Pose:
    """Where an object lies: center and half-width in image units, and a 2 x 2 turn, squeeze and mirror."""

    x: float
    y: float
    scale: float
    matrix: Array

    @classmethod
    def random(cls, rng: Rng, scale: float, reach: float = 0.45, squeeze: float = 0.45) -> Pose:
        """A random place within `reach` of the middle, turned at random, squeezed by up to `squeeze`."""
        cosine, sine = _unit(rng)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        cosine, sine = _unit(rng)
        lean = np.array([[cosine, sine], [-sine, cosine]])
        matrix = turn @ lean.T @ np.diag([1, 1 / (1 - squeeze * rng.random() ** 2)]) @ lean
        return cls(*rng.uniform(-reach, reach, 2), scale, matrix)


def _unit(rng: Rng) -> tuple[float, float]:
    """A random direction, by rejection: exact arithmetic only."""
    while True:
        x, y = rng.uniform(-1, 1, 2)
        length = (x * x + y * y) ** 0.5
        if 0.1 < length < 1:
            return x / length, y / length


def draw_object(canvas: Array, rng: Rng, layers: list[tuple[Array, Layer, Array]], pose: Pose, relief: float) -> None:
    """Draw an object's layers onto `canvas` (size, size, 3), in place; `layers` comes from `prepare`."""
    size = len(canvas)
    line = axis(size)
    first = layers[0][1].size
    near = [
        slice(max(0, int((c - pose.scale + 1) * size / 2)), max(0, int((c + pose.scale + 1) * size / 2) + 2))
        for c in (pose.y, pose.x)
    ]
    part = canvas[near[0], near[1]]
    if part.size == 0:
        return
    x0 = (line[near[1]] - np.float32(pose.x))[None, :]
    y0 = (line[near[0]] - np.float32(pose.y))[:, None]
    (a, b), (c, d) = (pose.matrix / pose.scale * first).astype(np.float32)
    x, y = a * x0 + b * y0, c * x0 + d * y0
    r = np.sqrt(x * x + y * y)
    where = direction(x, y)
    light = _unit(rng)
    for radii, layer, colors in layers:
        edge = radii[where] * np.float32(layer.size)
        cover = (edge - r) * np.float32(size * pose.scale / 2) + np.float32(0.5)
        q = r / edge
        t = layer.fill.values(rng, x, y, q, _TURNS[where] if layer.fill.spokes[0] else None)
        color = paint(t, colors)
        if relief:
            slope = (np.float32(light[0]) * x + np.float32(light[1]) * y) * np.float32(relief)
            color *= (1 + slope * q)[..., None]
        part += np.clip(cover, 0, 1)[..., None] * (color - part)


def prepare(rng: Rng, layers: tuple[Layer, ...], amount: float = 0.08) -> list[tuple[Array, Layer, Array]]:
    """One image's own outlines and colors of a class's layers."""
    return [(wobble(rng, layer.radii, amount), layer, shades(rng, layer)) for layer in layers]


def shades(rng: Rng, layer: Layer) -> Array:
    """One image's own color ramp of a layer; few steps where its fill is `hard`."""
    colors = layer.palette.colors(rng)
    return ramp(colors, len(colors) if layer.fill.hard else 64)


def draw_points(canvas: Array, rng: Rng, points: Array, kind: Array, colors: Array, pose: Pose, gain: float) -> None:
    """Scatter points (n, 2) in [-1, 1] of several kinds (n,), each with a color of `colors` (kinds, 3)."""
    size, kinds = len(canvas), len(colors)
    (a, b), (c, d) = pose.matrix.T * pose.scale
    px = a * points[:, 0] + b * points[:, 1] + pose.x
    py = c * points[:, 0] + d * points[:, 1] + pose.y
    column = ((px + 1) * (size / 2)).astype(np.int64)
    row = ((py + 1) * (size / 2)).astype(np.int64)
    inside = (px > -1) & (py > -1) & (column < size) & (row < size)
    cell = ((row * size + column) * kinds + kind)[inside]
    hits = np.bincount(cell, minlength=size * size * kinds).reshape(size, size, kinds).astype(np.float32)
    total = hits[..., 0] + np.float32(1e-6)
    mixed = hits[..., :1] * colors[0].astype(np.float32)
    for k in range(1, kinds):
        total = total + hits[..., k]
        mixed += hits[..., k : k + 1] * colors[k].astype(np.float32)
    cover = np.minimum(total * np.float32(gain), 1)[..., None]
    canvas += cover * (mixed / total[..., None] - canvas)


def background(rng: Rng, size: int) -> Array:
    """A random background: plain, cloudy, striped, or a blurred clutter of shapes; float32 (size, size, 3)."""
    kind = rng.random()
    line = axis(size)
    colors = Palette(None).colors(rng)
    if kind < 0.2:
        cosine, sine = _unit(rng)
        t = (np.float32(cosine) * line[None, :] + np.float32(sine) * line[:, None]) * np.float32(0.35) + 0.5
        return paint(t, ramp(colors[:2], 64))
    if kind < 0.75:
        f = np.float32(rng.uniform(0.02, 0.3))
        ox, oy = rng.random(2).astype(np.float32)
        x, y = (
            np.broadcast_to(f * line[None, :] + ox, (size, size)),
            np.broadcast_to(f * line[:, None] + oy, (size, size)),
        )
        contrast = np.float32(rng.uniform(0.2, 1))
        return paint((noise(int(rng.integers(10)), x, y) - np.float32(0.5)) * contrast + 0.5, ramp(colors, 64))
    if kind < 0.85:
        fill = Fill.random(rng, radial=False)
        x, y = turned(rng, size, rng.uniform(0.5, 1.5))
        return paint(fill.values(rng, x, y, None, None), ramp(colors, 64))
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = colors[0]
    shape = outline(str(rng.choice(["blob", "waves", "polygon", "facets"])), rng)
    fill = Fill.random(rng, radial=True)
    for _ in range(rng.integers(4, 9)):
        layer = Layer(shape, 1.0, fill, Palette(None))
        draw_object(canvas, rng, prepare(rng, (layer,), 0.3), Pose.random(rng, rng.uniform(0.2, 0.7), 1.0), 0.3)
    for _ in range(rng.integers(0, 4)):
        canvas = blur(canvas)
    return canvas


def turned(rng: Rng, size: int, scale: float) -> tuple[Array, Array]:
    """Coordinates of all pixels under a random turn and squeeze; two float32 (size, size)."""
    line = axis(size)
    (a, b), (c, d) = (Pose.random(rng, 1.0).matrix * scale).astype(np.float32)
    x, y = line[None, :], line[:, None]
    return a * x + b * y, c * x + d * y


def blur(canvas: Array) -> Array:
    """The image blurred with the 3 x 3 kernel 1-2-1; float32, same shape."""
    padded = np.pad(canvas, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[1:-1] + padded[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 16)


def photograph(canvas: Array, rng: Rng) -> Array:
    """What a camera makes of a scene: occluders, light from a side, color cast, contrast, blur, grain.

    Args:
        canvas: float32 (size, size, 3), about [0, 1]; changed in place.
        rng: decides everything.

    Returns:
        uint8 (3, size, size).
    """
    size = len(canvas)
    line = axis(size)
    if rng.random() < 0.2:
        layer = Layer(outline(str(rng.choice(["blob", "facets"])), rng), 1.0, Fill.random(rng, False), Palette(None))
        pose = Pose.random(rng, rng.uniform(0.25, 0.5), 1.0, 0.9)
        draw_object(canvas, rng, prepare(rng, (layer,), 0.3), pose, 0.0)
    if rng.random() < 0.3:
        canvas = blur(canvas)
    cosine, sine = _unit(rng)
    slope = rng.uniform(0, 0.35)
    level, contrast = rng.uniform(0.75, 1.2), rng.uniform(0.7, 1.2)
    light = (np.float32(cosine * slope) * line[None, :] + np.float32(sine * slope) * line[:, None]) + np.float32(level)
    cast = (rng.normal(1, 0.06, 3) * contrast).astype(np.float32)
    canvas = (canvas - np.float32(0.5)) * cast + np.float32(0.5)
    canvas *= light[..., None]
    if rng.random() < 0.6:
        amount = np.float32(rng.exponential(0.03))
        canvas += amount * grain(int(rng.integers(1 << 20)), canvas.size).reshape(canvas.shape)
    return (np.clip(canvas, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8).transpose(2, 0, 1)
