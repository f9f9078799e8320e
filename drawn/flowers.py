"""Flowers of invented species, drawn from formulas: the near target of the course.

Every image shows one to four flowers of a single species, seen from some angle, in some light, before some
background. Image i depends on (labels[i], i, seed) alone; its size only says how finely it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from drawn import scenery
from drawn.canvas import Array, Numbers, check, develop, generator_for, near, oklch, shifted
from drawn.species import COLORS, TABLE, Species
from drawn.stamps import Layer, Scene, draw_all, stamps

SPECIES: tuple[str, ...] = tuple(species.name for species in TABLE)
_STREAM = 1


def draw(labels: Sequence[int], size: int = 64, seed: int = 0, first: int = 0) -> Tensor:
    """Draw one image for each label.

    Args:
        labels: which species, as indices into `SPECIES`.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of images.
        first: number of the first image; drawing in parts gives the images of drawing at once.

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        ValueError: for a label that is no species, a size under 16 or a negative seed.
    """
    labels = check(labels, len(SPECIES), size, seed)

    def scene(i: int, label: int) -> Scene:
        return _scene(TABLE[label], generator(seed, first + i, label), size)

    return draw_all(labels, size, scene)


class Parts(NamedTuple):
    """An image to be, in the order in which it is painted."""

    ground: Array  # (3, size, size), linear light
    behind: list[Layer]
    flowers: list[list[Layer]]  # of each flower its layers, the farthest flower first
    front: list[Layer]


def parts(species: Species, rng: np.random.Generator, size: int) -> Parts:
    """What one image is made of; draws the same random numbers whatever becomes of it."""
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.95)
    low = np.sqrt(1 - height * height)
    sun = np.array([low * np.cos(turn), low * np.sin(turn), height])
    ground = scenery.backdrop(rng, size)
    centers, radii = _places(rng)
    behind = scenery.behind(rng) + scenery.stems(rng, species.leaf, centers, radii, sun)
    flowers = _heads(species, rng, centers, radii, _colors(species, rng), sun)
    return Parts(ground, behind, flowers, [scenery.in_front(rng)] if rng.random() < 0.2 else [])


def generator(seed: int, number: int, label: int) -> np.random.Generator:
    """The random numbers of one image of flowers."""
    return generator_for(seed, number, label, _STREAM)


def _scene(species: Species, rng: np.random.Generator, size: int) -> Scene:
    ground, behind, flowers, front = parts(species, rng, size)

    def finish(image: Array) -> NDArray[np.uint8]:
        scenery.dapple(rng, image)
        return develop(image, rng)

    return Scene(ground, [*behind, *(layer for flower in flowers for layer in flower), *front], finish)


def _places(rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Centers (K, 2) and radii (K,) of one to four flowers, the farthest (smallest) first."""
    count = 1 + int(np.searchsorted([0.55, 0.8, 0.93], rng.random()))
    radii = rng.uniform(0.29, 0.43) * np.array([1.0, *rng.uniform(0.45, 0.8, 3)])[:count]
    centers = np.concatenate([rng.uniform(0.36, 0.64, (1, 2)), rng.uniform(0.08, 0.92, (3, 2))])[:count]
    away = centers[1:] - centers[0]
    distance = np.hypot(away[:, 0], away[:, 1])[:, None] + 1e-6
    centers[1:] = centers[0] + away / distance * np.maximum(distance, 0.75 * (radii[0] + radii[1:, None]))
    return centers[::-1].copy(), radii[::-1].copy()


def _colors(species: Species, rng: np.random.Generator) -> Numbers:
    """Base, tip and mark color of this image's flowers, linear RGB (3, 3); the first color is twice as common."""
    kinds = len(species.colors)
    name = species.colors[max(int(rng.random() * (kinds + 1)) - 1, 0)]
    lightness, chroma, hue = np.array(COLORS[name]) + rng.uniform([-0.07, -0.03, -14], [0.05, 0.03, 14])
    shift = rng.uniform(-0.10, 0.10)
    tip = (lightness + shift, chroma * (1 - shift), hue + 60 * shift)
    if species.tip:
        tip = COLORS[species.tip]
    petal = oklch([(lightness - shift, chroma * (1 + shift), hue), tip])
    return np.concatenate([petal, near(rng, [COLORS[species.mark]], 0.6)])


class _Pose(NamedTuple):
    """What is random about one flower: how it is turned, what its petals and its disc are like."""

    turn: Numbers  # rotation (3, 3)
    jitter: Numbers  # of each petal (6, petals), -1 to 1
    start: float  # angle of the first petal
    rise: float  # degrees
    disc_size: float
    disc_spin: float
    disc_shift: Numbers  # of the disc's colors (3, 3), -1 to 1


def _pose(rng: np.random.Generator, petals: int) -> _Pose:
    turn = _turn(math.radians(50) * rng.random(), rng.uniform(0, 2 * math.pi))
    jitter = rng.uniform(-1, 1, (6, petals))
    start, rise = rng.uniform(0, 2 * math.pi), rng.uniform(-8, 10)
    size, spin = rng.uniform(0.85, 1.15), rng.uniform(0, 2 * math.pi)
    return _Pose(turn, jitter, start, rise, size, spin, rng.uniform(-1, 1, (3, 3)))


def _turn(tilt: float, about: float) -> list[list[float]]:
    """The rotation (3, 3) by `tilt` about a line in the image's plane at angle `about` (Rodrigues)."""
    x, y, cos, sin = math.cos(about), math.sin(about), math.cos(tilt), math.sin(tilt)
    rest = 1 - cos
    return [
        [cos + x * x * rest, x * y * rest, y * sin],
        [x * y * rest, cos + y * y * rest, -x * sin],
        [-y * sin, x * sin, cos],
    ]


def _heads(
    species: Species, rng: np.random.Generator, centers: Numbers, radii: Numbers, colors: Numbers, sun: Numbers
) -> list[list[Layer]]:
    """The flowers (F of them, the farthest first): of each the petals behind its disc, the disc, petals before it."""
    petals = species.count * species.layers
    turn, jitter, *rest, shift = (np.array(part) for part in zip(*[_pose(rng, petals) for _ in radii], strict=True))
    start, rise, size, spin = rest
    rows, behind = _petals(species, turn, jitter.transpose(1, 0, 2), start, rise, centers, radii, colors, sun)
    discs = _discs(species, turn, size, spin, shift, centers, radii, sun)
    return [
        [Layer(species.petal, flower[:back]), Layer(species.disc, disc[None]), Layer(species.petal, flower[back:])]
        for flower, disc, back in zip(rows, discs, behind, strict=True)
    ]


def _petals(
    species: Species,
    turn: Numbers,
    jitter: Numbers,
    start: Numbers,
    rise: Numbers,
    centers: Numbers,
    radii: Numbers,
    colors: Numbers,
    sun: Numbers,
) -> tuple[Numbers, list[int]]:
    """Stamps of the petals (F, petals, columns), each flower's from back to front, and how many lie behind the disc."""
    petals = jitter.shape[-1]
    ring = np.arange(petals) // species.count
    place = np.arange(petals) % species.count + 0.5 * ring + 0.13 * jitter[0]
    angle = start[:, None] + 2 * np.pi / species.count * place
    rise = np.deg2rad(species.rise + rise[:, None] + 9 * ring + 4 * jitter[1])
    length = radii[:, None] * (1 - 0.6 * ring / max(species.layers, 2)) * (1 + 0.06 * jitter[2])
    cos, sin, low, high = np.cos(angle), np.sin(angle), np.cos(rise), np.sin(rise)
    axes = np.array([[cos * low, sin * low, high], [-sin, cos, 0 * cos], [-cos * high, -sin * high, low]])
    axes = (turn @ axes.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    along, across, normal = axes
    tipped, sideways, facing = (sun @ axes.reshape(3, 3, -1)).reshape(3, *angle.shape)
    light = np.array([0.4 + 0.85 * np.maximum(facing, -0.45 * facing), -0.7 * tipped, -0.7 * sideways])
    light *= 1 + 0.06 * jitter[5] - 0.08 * ring / species.layers
    frame = _not_too_thin(np.array([along[:2] * length, across[:2] * length * (1 + 0.1 * jitter[3])]))
    layer = stamps(
        species.petal,
        np.repeat(centers, petals, 0),
        frame.reshape(2, 2, -1).transpose(2, 1, 0),
        colors,
        light.reshape(3, -1).T,
        bend=0.12 * jitter[3].ravel(),
        shadow=0.4,
    )
    front = (normal[2] < 0.12) & (along[2] > 0)
    order = np.lexsort((along[2] + 0.05 * jitter[4], np.broadcast_to(ring, front.shape), front))
    rows = layer.rows.reshape(len(radii), petals, -1)
    return np.take_along_axis(rows, order[:, :, None], 1), (petals - front.sum(1)).tolist()


def _discs(
    species: Species,
    turn: Numbers,
    size: Numbers,
    spin: Numbers,
    shift: Numbers,
    centers: Numbers,
    radii: Numbers,
    sun: Numbers,
) -> Numbers:
    """Stamps of the discs (F, columns), raised a little over the petals' plane."""
    across = (2 * species.disc_size * radii * size)[:, None]
    cos, sin = np.cos(spin)[:, None], np.sin(spin)[:, None]
    first = cos * turn[:, :, 0] + sin * turn[:, :, 1]
    second = cos * turn[:, :, 1] - sin * turn[:, :, 0]
    frame = np.stack([first[:, :2], second[:, :2]], -1) * across[:, None]
    lift = (0.15 if species.disc.kind == "florets" else 0.5) * across * turn[:, :2, 2]
    light = np.stack(
        [0.4 + 0.8 * np.maximum(turn[:, :, 2] @ sun, 0.15), -0.5 * (first @ sun), -0.5 * (second @ sun)], 1
    )
    base = [COLORS[name] for name in species.disc_colors]
    colors = shifted(base * len(radii), 0.7 * shift.reshape(-1, 3)).reshape(-1, 3, 3)
    return stamps(species.disc, centers + lift - 0.5 * frame[:, :, 0], frame, colors, light, shadow=0.45).rows


def _not_too_thin(frame: Numbers) -> Numbers:
    """Frames (2 axes, x and y, ...) seen edge-on, widened so that a petal keeps a visible thickness."""
    (ax, ay), (bx, by) = frame
    length = np.hypot(ax, ay) + 1e-6
    across = (ax * by - ay * bx) / length
    missing = np.where(across < 0, -1, 1) * np.maximum(0.16 * np.hypot(bx, by) - np.abs(across), 0)
    return np.array([[ax, ay], [bx - missing * ay / length, by + missing * ax / length]])
