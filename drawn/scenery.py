"""What surrounds a flower: backdrop, blurred foliage and lights, stems, leaves, things in front, dappled light."""

from __future__ import annotations

import numpy as np

from drawn.canvas import Array, Numbers, field, near
from drawn.shapes import Petal
from drawn.species import BLADE, COLORS, HEART, LOBED, OVAL
from drawn.stamps import Layer, stamps

_ROUND = Petal(width=0.5, claw=0.5, blunt=0.67, point=0.5, veins=0.0, cup=0.0, fold=0.0)
_STALK = Petal(width=0.5, claw=0.02, blunt=9, point=0.02, veins=0.0, cup=0.0, fold=-0.9)
_FOLIAGE = (OVAL, BLADE, LOBED, HEART)
_PETALS = np.array(list(COLORS.values())[:10])

# Lightness, chroma and hue of the dark and the light end of each backdrop.
_BACKDROPS = np.array(
    [
        [[0.32, 0.07, 140], [0.58, 0.12, 125]],
        [[0.22, 0.05, 150], [0.42, 0.09, 130]],
        [[0.52, 0.12, 125], [0.84, 0.12, 110]],
        [[0.34, 0.05, 60], [0.56, 0.07, 75]],
        [[0.58, 0.08, 245], [0.87, 0.05, 230]],
        [[0.42, 0.02, 90], [0.70, 0.02, 90]],
        [[0.28, 0.07, 285], [0.58, 0.11, 335]],
        [[0.64, 0.08, 60], [0.92, 0.06, 95]],
        [[0.30, 0.06, 200], [0.62, 0.08, 165]],
    ]
)


def backdrop(rng: np.random.Generator, size: int) -> Array:
    """A blurred ground of three colors: float32 (3, size, size), linear light."""
    dark, light = _BACKDROPS[_below(rng, len(_BACKDROPS))]
    low, high, other = near(rng, [dark, light, (light + dark) / 2], 1.2).astype(np.float32)[:, :, None, None]
    image = low + field(rng, 3, 3, size) * (high - low)
    patches = field(rng, 4 + _below(rng, 6), 4 + _below(rng, 6), size)
    image += (patches * patches) * (other - image)
    return image


def behind(rng: np.random.Generator) -> list[Layer]:
    """Distant lights and foliage out of focus."""
    layers = []
    if rng.random() < 0.6:
        layers.append(_lights(rng))
    if rng.random() < 0.8:
        layers.append(_foliage(rng))
    return layers


def flat(
    shape: Petal,
    at: Numbers,
    angle: Numbers,
    length: Numbers,
    width: Numbers,
    colors: Numbers,
    sun: Numbers,
    **more: Numbers | float,
) -> Layer:
    """Stamps that lie flat in the image: places (K, 2), angles, lengths and widths (K,); more as in `stamps`."""
    cos, sin = np.cos(angle), np.sin(angle)
    frame = np.array([[cos * length, -sin * width], [sin * length, cos * width]]).transpose(2, 0, 1)
    light = np.empty((len(angle), 3))
    light[:, 0] = 0.45 + 0.75 * sun[2]
    light[:, 1] = -0.6 * (sun[0] * cos + sun[1] * sin)
    light[:, 2] = 0.6 * (sun[0] * sin - sun[1] * cos)
    return stamps(shape, at, frame, colors, light, **more)


def stems(rng: np.random.Generator, leaf: Petal, centers: Numbers, radii: Numbers, sun: Numbers) -> list[Layer]:
    """Stems from the flowers' centers (K, 2) down out of the image, with leaves of the species."""
    count = len(centers)
    green, dark = near(rng, [(0.54, 0.12, 130), (0.50, 0.12, 135)], 1.0)
    length = np.maximum(1.15 - centers[:, 1], 0.2)
    lean = np.pi / 2 + rng.uniform(-0.35, 0.35, count)
    stalks = flat(
        _STALK, centers, lean, length, 0.085 * radii, green * np.array([[1.0], [0.8], [1.0]]), sun,
        bend=rng.uniform(-1.5, 1.5, count), shadow=0.15,
    )  # fmt: skip
    leaves = _below(rng, 6)
    if not leaves:
        return [stalks]
    of = (rng.random(leaves) * count).astype(int)
    at = centers[of] + rng.uniform([-0.03, 0.12], [0.03, 0.5], (leaves, 2))
    side = np.where(rng.random(leaves) < 0.5, 0.0, np.pi) + rng.uniform(-0.9, 0.9, leaves)
    long = radii[of] * rng.uniform(1.2, 2.2, leaves)
    foliage = flat(
        leaf, at, side, long, long * rng.uniform(0.7, 1.2, leaves), dark * np.array([[0.75], [1.2], [1.0]]), sun,
        bend=rng.uniform(-0.3, 0.3, leaves), shadow=0.3,
    )  # fmt: skip
    return [stalks, foliage]


def in_front(rng: np.random.Generator) -> Layer:
    """A leaf or a blade or two close to the lens, out of focus, over part of the image."""
    shape = _FOLIAGE[_below(rng, len(_FOLIAGE))]
    count = 1 + _below(rng, 2)
    turn = rng.uniform(0, 2 * np.pi, count)
    edge = 0.5 + 0.75 * np.stack([np.cos(turn), np.sin(turn)], -1)
    length = rng.uniform(0.4, 0.75, count)
    colors = near(rng, [(rng.uniform(0.35, 0.7), 0.11, 130)], 1.0) * np.array([[0.8], [1.2], [1.0]])
    return flat(
        shape, edge, turn + np.pi + rng.uniform(-0.6, 0.6, count), length, length, colors, np.array([0.3, -0.4, 0.6]),
        bend=rng.uniform(-0.3, 0.3, count), shadow=0.2, blur=rng.uniform(0.01, 0.04),
    )  # fmt: skip


def dapple(rng: np.random.Generator, image: Array) -> None:
    """Light through leaves, and a fall-off across the image, multiplied in place."""
    size = image.shape[-1]
    depth = rng.uniform(0.0, 0.75) if rng.random() < 0.4 else rng.uniform(0.0, 0.2)
    patches = field(rng, 3 + _below(rng, 4), 3 + _below(rng, 4), size)
    factor = 1 - np.float32(depth) * (patches * patches * (3 - 2 * patches))
    factor *= 1 - np.float32(rng.uniform(0, 0.45)) * field(rng, 2, 2, size)
    image *= factor


def _below(rng: np.random.Generator, end: int) -> int:
    return int(rng.random() * end)


def _lights(rng: np.random.Generator) -> Layer:
    count = 2 + _below(rng, 7)
    across = rng.uniform(0.05, 0.12) + 0.2 * rng.random(count) ** 3
    colors = near(rng, _PETALS[(rng.random(count) * 10).astype(int)] * [0.95, 0.6, 1.0], 1.0)
    blur, opacity = rng.uniform(0.008, 0.04), rng.uniform(0.15, 0.6)
    at = rng.random((count, 2)) - across[:, None] * [0.5, 0.0]
    colors = np.repeat(colors[:, None], 3, 1) * rng.uniform(0.5, 1.0)
    sun = np.array([0.0, 0.0, 0.75])
    return flat(_ROUND, at, np.zeros(count), across, across, colors, sun, blur=blur, opacity=opacity)


def _foliage(rng: np.random.Generator) -> Layer:
    shape = _FOLIAGE[_below(rng, len(_FOLIAGE))]
    count = 2 + _below(rng, 3)
    at = rng.uniform([-0.1, 0.25], [1.1, 1.15], (count, 2))
    angle = -np.pi / 2 + rng.uniform(-1.2, 1.2, count)
    length = rng.uniform(0.35, 0.8, count)
    green = [rng.uniform(0.3, 0.65), 0.10, rng.uniform(118, 150)]
    colors = near(rng, np.tile(green, (count, 1)), 1.0)[:, None] * np.array([[0.85], [1.15], [1.0]])
    return flat(
        shape, at, angle, length, length * rng.uniform(0.6, 1.4), colors, np.array([0.3, -0.4, 0.6]),
        bend=rng.uniform(-0.3, 0.3, count), shadow=0.2, blur=rng.uniform(0.005, 0.05),
    )  # fmt: skip
