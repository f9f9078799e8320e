"""Flowers of invented species, drawn from formulas: the near target of the course.

Every picture shows one to four flowers of a single species, seen from some angle, in some light, before some
background. Picture i depends on (labels[i], i, seed) alone; its size only says how finely it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.drawn import scenery
from helpers.drawn.canvas import Array, Numbers, check, develop, dice, near, oklch
from helpers.drawn.species import COLOURS, TABLE, Species
from helpers.drawn.stamps import Layer, Scene, draw_all, stamps

if TYPE_CHECKING:
    from torch import Tensor

SPECIES: tuple[str, ...] = tuple(species.name for species in TABLE)
_STREAM = 1


def draw(labels: Sequence[int], size: int = 64, seed: int = 0, first: int = 0) -> Tensor:
    """Draw one picture for each label.

    Args:
        labels: which species, as indices into `SPECIES`.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of pictures.
        first: number of the first picture; drawing in parts gives the pictures of drawing at once.

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        HelpersError: for a label that is no species, a size under 16 or a negative seed.
    """
    labels = check(labels, len(SPECIES), size, seed)
    return draw_all(labels, size, lambda i, label: _scene(TABLE[label], dice(seed, first + i, label, _STREAM), size))


def _scene(species: Species, rng: np.random.Generator, size: int) -> Scene:
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.95)
    low = np.sqrt(1 - height * height)
    sun = np.array([low * np.cos(turn), low * np.sin(turn), height])
    ground = scenery.backdrop(rng, size)
    centres, radii = _places(rng)
    layers = scenery.behind(rng) + scenery.stems(rng, species.leaf, centres, radii, sun)
    colours = _colours(species, rng)
    for centre, radius in zip(centres, radii, strict=True):
        layers += _head(species, rng, centre, radius, colours, sun)
    if rng.random() < 0.2:
        layers.append(scenery.in_front(rng))

    def finish(picture: Array) -> NDArray[np.uint8]:
        scenery.dapple(rng, picture)
        return develop(picture, rng)

    return Scene(ground, layers, finish)


def _places(rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Centres (K, 2) and radii (K,) of one to four flowers, the farthest (smallest) first."""
    count = 1 + int(np.searchsorted([0.55, 0.8, 0.93], rng.random()))
    radii = rng.uniform(0.29, 0.43) * np.array([1.0, *rng.uniform(0.45, 0.8, 3)])[:count]
    centres = np.concatenate([rng.uniform(0.36, 0.64, (1, 2)), rng.uniform(0.08, 0.92, (3, 2))])[:count]
    away = centres[1:] - centres[0]
    distance = np.hypot(away[:, 0], away[:, 1])[:, None] + 1e-6
    centres[1:] = centres[0] + away / distance * np.maximum(distance, 0.75 * (radii[0] + radii[1:, None]))
    return centres[::-1].copy(), radii[::-1].copy()


def _colours(species: Species, rng: np.random.Generator) -> Numbers:
    """Base, tip and mark colour of this picture's flowers, linear RGB (3, 3); the first colour is twice as common."""
    kinds = len(species.colours)
    name = species.colours[max(int(rng.random() * (kinds + 1)) - 1, 0)]
    lightness, chroma, hue = np.array(COLOURS[name]) + rng.uniform([-0.07, -0.03, -14], [0.05, 0.03, 14])
    shift = rng.uniform(-0.10, 0.10)
    tip = (lightness + shift, chroma * (1 - shift), hue + 60 * shift)
    if species.tip:
        tip = COLOURS[species.tip]
    petal = oklch([(lightness - shift, chroma * (1 + shift), hue), tip])
    return np.concatenate([petal, near(rng, [COLOURS[species.mark]], 0.6)])


def _turn(tilt: float, about: float) -> Numbers:
    """The rotation (3, 3) by `tilt` about a line in the picture's plane at angle `about` (Rodrigues)."""
    x, y, cos, sin = np.cos(about), np.sin(about), np.cos(tilt), np.sin(tilt)
    rest = 1 - cos
    return np.array(
        [
            [cos + x * x * rest, x * y * rest, y * sin],
            [x * y * rest, cos + y * y * rest, -x * sin],
            [-y * sin, x * sin, cos],
        ]
    )


def _head(
    species: Species, rng: np.random.Generator, centre: Numbers, radius: float, colours: Numbers, sun: Numbers
) -> list[Layer]:
    """One flower: petals behind the disc, the disc, petals before it."""
    turn = _turn(np.deg2rad(50) * rng.random(), rng.uniform(0, 2 * np.pi))
    count, layers = species.count, species.layers
    ring = np.repeat(np.arange(layers), count)
    pitch = 2 * np.pi / count
    jitter = rng.uniform(-1, 1, (6, layers * count))
    angle = rng.uniform(0, 2 * np.pi) + pitch * (np.arange(layers * count) % count + 0.5 * ring + 0.13 * jitter[0])
    rise = np.deg2rad(species.rise + rng.uniform(-8, 10) + 9 * ring + 4 * jitter[1])
    length = radius * (1 - 0.6 * ring / max(layers, 2)) * (1 + 0.06 * jitter[2])
    cos, sin, low, high = np.cos(angle), np.sin(angle), np.cos(rise), np.sin(rise)
    along = turn @ np.array([cos * low, sin * low, high])
    across = turn @ np.array([-sin, cos, 0 * cos])
    normal = turn @ np.array([-cos * high, -sin * high, low])
    frame = np.stack([along[:2] * length, across[:2] * length * (1 + 0.1 * jitter[3])], 1)
    facing = sun @ normal
    light = np.stack([0.4 + 0.85 * np.maximum(facing, -0.45 * facing), -0.7 * (sun @ along), -0.7 * (sun @ across)], -1)
    light *= (1 + 0.06 * jitter[5] - 0.08 * ring / layers)[:, None]
    front = (normal[2] < 0.12) & (along[2] > 0)
    order = np.lexsort((along[2] + 0.05 * jitter[4], ring, front))
    petals = stamps(
        species.petal, np.tile(centre, (len(ring), 1)), _not_too_thin(frame).transpose(2, 0, 1), colours, light,
        bend=0.12 * jitter[3], shadow=0.4,
    )  # fmt: skip
    rows, back = petals.rows[order], int(len(ring) - front.sum())
    disc = _disc(species, rng, centre, radius, turn, sun)
    return [Layer(species.petal, rows[:back]), disc, Layer(species.petal, rows[back:])]


def _not_too_thin(frame: Numbers) -> Numbers:
    """Frames (2, 2, K) seen edge-on, widened so that a petal keeps a visible thickness."""
    (ax, bx), (ay, by) = frame
    length = np.hypot(ax, ay) + 1e-6
    across = (ax * by - ay * bx) / length
    missing = np.where(across < 0, -1, 1) * np.maximum(0.16 * np.hypot(bx, by) - np.abs(across), 0)
    return np.array([[ax, bx - missing * ay / length], [ay, by + missing * ax / length]])


def _disc(
    species: Species, rng: np.random.Generator, centre: Numbers, radius: float, turn: Numbers, sun: Numbers
) -> Layer:
    across = 2 * radius * species.disc_size * rng.uniform(0.85, 1.15)
    spin = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(spin), np.sin(spin)
    first, second, up = (turn @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])).T
    frame = np.stack([first[:2], second[:2]], -1) * across
    colours = near(rng, [COLOURS[name] for name in species.disc_colours], 0.7)
    light = np.array([[0.4 + 0.8 * max(up @ sun, 0.15), -0.5 * (first @ sun), -0.5 * (second @ sun)]])
    lift = (0.15 if species.disc.kind == "florets" else 0.5) * across * up[:2]
    return stamps(species.disc, (centre + lift - 0.5 * frame[:, 0])[None], frame[None], colours, light, shadow=0.45)
