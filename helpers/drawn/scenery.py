"""What surrounds a flower: backdrop, blurred foliage and lights, stems, leaves, things in front, dappled light."""

from __future__ import annotations

import numpy as np

from helpers.drawn.canvas import Array, Stamps, field, oklch, render
from helpers.drawn.shapes import Petal
from helpers.drawn.species import BLADE, COLOURS, LOBED, OVAL

_BLOB = Petal(width=0.5, claw=0.5, blunt=0.67, point=0.5, veins=0.0, cup=0.0, fold=0.0)
_STALK = Petal(width=0.5, claw=0.02, blunt=9, point=0.02, veins=0.0, cup=0.0, fold=-0.9)
_PETAL_COLOURS = tuple(COLOURS.values())[:10]
_FOLIAGE = (OVAL, BLADE, LOBED)

# Lightness, chroma and hue of two ends of each backdrop.
_BACKDROPS = (
    ((0.30, 0.06, 140), (0.55, 0.10, 125)),
    ((0.20, 0.04, 150), (0.42, 0.08, 130)),
    ((0.50, 0.11, 125), (0.80, 0.10, 110)),
    ((0.32, 0.04, 60), (0.55, 0.06, 75)),
    ((0.55, 0.05, 240), (0.85, 0.04, 230)),
    ((0.40, 0.02, 90), (0.68, 0.02, 90)),
    ((0.25, 0.05, 280), (0.55, 0.09, 330)),
    ((0.60, 0.06, 70), (0.88, 0.05, 95)),
)


def shade_of(rng: np.random.Generator, base: tuple[float, float, float], spread: float) -> np.ndarray:
    """A colour near `base` (OKLCH), linear RGB (3,)."""
    l, c, h = base
    jitter = rng.uniform(-1, 1, 3) * spread
    return oklch(l + 0.09 * jitter[0], max(c * (1 + 0.4 * jitter[1]), 0.0), h + 16 * jitter[2])


def backdrop(rng: np.random.Generator, size: int) -> Array:
    """A blurred, cluttered ground to lay flowers on: float32 (3, size, size), linear light."""
    dark, light = _BACKDROPS[int(rng.random() * len(_BACKDROPS))]
    colours = [shade_of(rng, dark, 1.0), shade_of(rng, light, 1.0), shade_of(rng, dark, 2.0)]
    first = field(rng, 3, 3, size)
    second = field(rng, 4 + int(rng.random() * 5), 4 + int(rng.random() * 5), size)
    low, high, other = (c.astype(np.float32)[:, None, None] for c in colours)
    picture = low + first * (high - low)
    picture += (second * second) * (other - picture)
    if rng.random() < 0.7:
        _lights(rng, size, picture)
    if rng.random() < 0.8:
        _foliage(rng, size, picture)
    return picture


def flat(
    at: np.ndarray,
    angle: np.ndarray,
    length: np.ndarray,
    width: np.ndarray,
    colours: np.ndarray,
    sun: np.ndarray,
    *,
    bend: np.ndarray | float = 0.0,
    shadow: float = 0.0,
    blur: float = 0.0,
) -> Stamps:
    """Stamps that lie flat in the picture: (K, 2) places, and angles, lengths and widths (K,)."""
    count = len(angle)
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.stack([np.stack([cos * length, -sin * width], -1), np.stack([sin * length, cos * width], -1)], 1)
    light = np.stack(
        [
            np.full(count, 0.45 + 0.75 * sun[2]),
            -0.6 * (sun[0] * cos + sun[1] * sin),
            0.6 * (sun[0] * sin - sun[1] * cos),
        ],
        -1,
    )
    full = np.ones(count)
    return Stamps(at, frame, np.broadcast_to(colours, (count, 3, 3)), light, bend * full, shadow * full, blur * full)


def _lights(rng: np.random.Generator, size: int, picture: Array) -> None:
    """Discs of light out of focus: distant flowers, sky between leaves."""
    count = 2 + int(rng.random() * 6)
    at = rng.random((count, 2))
    across = 0.06 + 0.22 * rng.random(count) ** 2
    colours = np.empty((count, 3, 3))
    for k in range(count):
        colours[k] = shade_of(rng, _PETAL_COLOURS[int(rng.random() * len(_PETAL_COLOURS))], 1.0)
    colours *= rng.uniform(0.3, 0.9)
    stamps = flat(
        at - across[:, None] * [0.5, 0],
        np.zeros(count),
        across,
        across,
        colours,
        np.array([0, 0, 0.7]),
        blur=rng.uniform(0.01, 0.04),
    )
    render(_BLOB, stamps, size).lay(picture)


def _foliage(rng: np.random.Generator, size: int, picture: Array) -> None:
    """Leaves and blades of grass behind, more or less out of focus."""
    shape = _FOLIAGE[int(rng.random() * 3)]
    count = 3 + int(rng.random() * 5)
    at = rng.random((count, 2)) * [1.2, 0.9] + [-0.1, 0.25]
    angle = -np.pi / 2 + rng.uniform(-1.2, 1.2, count)
    length = rng.uniform(0.35, 0.8, count)
    colours = np.empty((count, 3, 3))
    for k in range(count):
        colours[k] = shade_of(rng, (rng.uniform(0.3, 0.65), 0.09, 130), 1.0)
    stamps = flat(
        at,
        angle,
        length,
        length * rng.uniform(0.6, 1.4),
        colours,
        np.array([0.3, -0.4, 0.6]),
        bend=rng.uniform(-0.3, 0.3, count),
        shadow=0.2,
        blur=rng.uniform(0.005, 0.05),
    )
    render(shape, stamps, size).lay(picture)


def stems(
    rng: np.random.Generator,
    leaf: Petal,
    feet: np.ndarray,
    sizes: np.ndarray,
    sun: np.ndarray,
    size: int,
    picture: Array,
) -> None:
    """Stems from each flower's centre (K, 2) down out of the picture, with leaves of the species."""
    count = len(feet)
    green = shade_of(rng, (0.52, 0.11, 130), 1.0)
    length = np.maximum(1.15 - feet[:, 1], 0.2)
    colours = np.stack([green, green * 0.8, green])[None]
    stalk = flat(
        feet,
        np.pi / 2 + rng.uniform(-0.35, 0.35, count),
        length,
        0.085 * sizes,
        colours,
        sun,
        bend=rng.uniform(-1.5, 1.5, count),
        shadow=0.15,
    )
    render(_STALK, stalk, size).lay(picture)
    leaves = int(rng.random() * 5)
    if leaves:
        which = (rng.random(leaves) * count).astype(int)
        at = feet[which] + np.stack([rng.uniform(-0.03, 0.03, leaves), rng.uniform(0.15, 0.5, leaves)], -1)
        side = np.where(rng.random(leaves) < 0.5, 0.0, np.pi)
        long = sizes[which] * rng.uniform(1.2, 2.2, leaves)
        dark = shade_of(rng, (0.48, 0.11, 135), 1.0)
        render(
            leaf,
            flat(
                at,
                side + rng.uniform(-0.9, 0.9, leaves),
                long,
                long * rng.uniform(0.7, 1.2, leaves),
                np.stack([dark * 0.8, dark * 1.15, dark])[None],
                sun,
                bend=rng.uniform(-0.3, 0.3, leaves),
                shadow=0.3,
            ),
            size,
        ).lay(picture)


def in_front(rng: np.random.Generator, size: int, picture: Array) -> None:
    """A leaf or a few blades close to the lens, blurred, over part of the picture."""
    shape = _FOLIAGE[int(rng.random() * 3)]
    count = 1 + int(rng.random() * 2)
    turn = rng.uniform(0, 2 * np.pi, count)
    edge = 0.5 + 0.75 * np.stack([np.cos(turn), np.sin(turn)], -1)
    angle = turn + np.pi + rng.uniform(-0.6, 0.6, count)
    length = rng.uniform(0.4, 0.75, count)
    colour = shade_of(rng, (rng.uniform(0.3, 0.7), 0.1, 130), 1.0)
    stamps = flat(
        edge,
        angle,
        length,
        length,
        np.stack([colour, colour * 1.2, colour])[None],
        np.array([0.3, -0.4, 0.6]),
        bend=rng.uniform(-0.3, 0.3, count),
        shadow=0.2,
        blur=rng.uniform(0.01, 0.04),
    )
    render(shape, stamps, size).lay(picture)


def dapple(rng: np.random.Generator, size: int, picture: Array) -> None:
    """Light through leaves and a fall-off across the picture, multiplied in place."""
    depth = rng.uniform(0.0, 0.75) if rng.random() < 0.5 else rng.uniform(0.0, 0.25)
    patches = field(rng, 3 + int(rng.random() * 4), 3 + int(rng.random() * 4), size)
    picture *= 1 - np.float32(depth) * (patches * patches * (3 - 2 * patches))
    picture *= 1 - np.float32(rng.uniform(0, 0.45)) * field(rng, 2, 2, size)
