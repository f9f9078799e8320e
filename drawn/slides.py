"""Drawn microscope slides of stained tissue, in four invented kinds: the far target of the course.

Nothing here is medicine: the kinds borrow the look of stained tissue (glands, nuclei, strands) and no more. The kinds
share their stains and differ in texture: how many nuclei there are, their size and shape, and what lies between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from drawn.canvas import Array, Numbers, check, field, generator_for, oklch
from drawn.scenery import flat
from drawn.shapes import Petal
from drawn.stamps import Layer, Scene, draw_all

_STREAM = 2
_SMOOTH = Petal(width=0.5, claw=0.5, blunt=0.67, point=0.5, veins=0.0, cup=0.25, fold=0.2, gradient=(0.1, 1.2))
_DENTED = Petal(0.46, 0.5, 0.9, 0.5, notch=0.12, frill=0.03, mark="spots", veins=0.0, cup=0.3, fold=0.3)
_ABOVE = np.array([0.0, 0.0, 0.7])


class _Kind(NamedTuple):
    """What tells a kind of tissue from the others; ranges are (least, most)."""

    name: str
    glands: tuple[float, float]  # how many
    strands: tuple[float, float]  # how strongly the ground is banded
    loose: tuple[float, float]  # nuclei between the glands
    length: tuple[float, float]  # of loose nuclei, in image widths
    plump: tuple[float, float]  # width of loose nuclei over their length
    order: float  # 1: equal, aligned nuclei in the glands; 0: none of it


_KINDS = (
    _Kind("orderly", (1.5, 5), (0.05, 0.25), (8, 32), (0.045, 0.08), (0.3, 0.6), 1.0),
    _Kind("inflamed", (0, 4), (0.05, 0.25), (90, 220), (0.03, 0.042), (0.85, 1.0), 1.0),
    _Kind("fibrous", (0, 4), (0.55, 1.0), (16, 50), (0.06, 0.11), (0.14, 0.3), 0.9),
    _Kind("irregular", (1.5, 5), (0.05, 0.25), (16, 50), (0.055, 0.12), (0.5, 1.0), 0.0),
)
CLASSES: tuple[str, ...] = tuple(kind.name for kind in _KINDS)


class _Stain(NamedTuple):
    """Colors of one slide, linear RGB (3,)."""

    ground: Numbers
    pale: Numbers
    nuclei: Numbers


def draw(labels: Sequence[int], size: int = 64, seed: int = 0, first: int = 0) -> Tensor:
    """Draw one slide for each label.

    Args:
        labels: which kind, as indices into `CLASSES`.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of images.
        first: number of the first image; drawing in parts gives the images of drawing at once.

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        ValueError: for a label that is no class, a size under 16 or a negative seed.
    """
    labels = check(labels, len(CLASSES), size, seed)

    def scene(i: int, label: int) -> Scene:
        return _scene(_KINDS[label], generator_for(seed, first + i, label, _STREAM), size)

    return draw_all(labels, size, scene)


def _scene(kind: _Kind, rng: np.random.Generator, size: int) -> Scene:
    hue, light = rng.uniform(-24, 24), rng.uniform(-0.06, 0.04)
    colors = [
        (0.78 + light, rng.uniform(0.05, 0.14), 350 + hue),
        (0.92 + light, rng.uniform(0.01, 0.05), 340 + hue),
        (rng.uniform(0.33, 0.5), rng.uniform(0.08, 0.17), 295 + hue),
    ]
    stain = _Stain(*oklch(colors))
    zoom, grain = rng.uniform(0.85, 1.25), rng.uniform(0, np.pi)
    ground = _ground(rng, size, stain, rng.uniform(*kind.strands), grain, zoom)
    blur = 0.012 * rng.random() ** 2
    layers = _loose(kind, rng, stain, grain, zoom, blur, 0.5)
    for _ in range(round(rng.uniform(*kind.glands))):
        layers += _gland(kind, rng, stain, zoom, blur)
    layers += _loose(kind, rng, stain, grain, zoom, blur, 0.5)
    return Scene(ground, layers, lambda image: _lamp(rng, image))


def _ground(rng: np.random.Generator, size: int, stain: _Stain, depth: float, angle: float, zoom: float) -> Array:
    """Stained ground with wavy fibres: bands of a warped ramp; float32 (3, size, size)."""
    base, pale = stain.ground.astype(np.float32)[:, None, None], stain.pale.astype(np.float32)[:, None, None]
    image = base + field(rng, 6, 6, size) * (pale - base)
    place = (np.arange(size) + 0.5) / size
    warp = 0.5 * field(rng, 4, 4, size) + 0.10 * field(rng, 9, 9, size)
    phase = (warp + (-np.sin(angle) * place + np.cos(angle) * place[:, None])) * rng.uniform(8, 14) / zoom
    wave = np.abs(2 * (phase - np.floor(phase)) - 1).astype(np.float32)
    band = wave * wave * (3 - 2 * wave) * (0.35 + 0.65 * field(rng, 10, 10, size)) * np.float32(depth)
    image += band * (base * np.float32(0.5) - image)
    return image


def _gland(kind: _Kind, rng: np.random.Generator, stain: _Stain, zoom: float, blur: float) -> list[Layer]:
    """A gland: a wall of cells around a pale hollow, their nuclei towards the outside."""
    center, radius = rng.uniform(-0.05, 1.05, 2), zoom * rng.uniform(0.12, 0.22)
    aspect, turn = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    long = 2 * radius * np.array([1.0, rng.uniform(0.35, 0.58)])
    heading = np.array([np.cos(turn), np.sin(turn)])
    tones = np.stack([stain.ground * 0.72, stain.pale])
    walls = flat(
        _SMOOTH, center - 0.5 * long[:, None] * heading, np.full(2, turn), long, long * aspect,
        np.stack([tones, tones * 1.06, tones], 1), _ABOVE, shadow=0.12, blur=blur + 0.01,
    )  # fmt: skip
    wild = 1 - kind.order
    count = int(rng.uniform(15, 22) * (1 + 0.3 * wild))
    around = 2 * np.pi * (np.arange(count) + (0.15 + 0.65 * wild) * rng.random(count)) / count
    far = 0.76 * radius * (1 + (0.06 + 0.26 * wild) * rng.uniform(-1, 1, count))
    offset = np.stack([far * np.cos(around), far * aspect * np.sin(around)], -1)
    spin = np.array([heading, [-heading[1], heading[0]]])
    length = zoom * (0.056 + (0.005 + 0.028 * wild) * rng.uniform(-1, 1, count))
    angle = around + turn + (0.12 + 1.1 * wild) * rng.uniform(-1, 1, count)
    plump = rng.uniform(0.5, 0.65 + 0.45 * wild, count)
    at = center + np.sum(offset[:, :, None] * spin, 1)
    return [walls, _nuclei(rng, at, angle, length, plump, stain, wild, blur)]


def _loose(
    kind: _Kind, rng: np.random.Generator, stain: _Stain, grain: float, zoom: float, blur: float, share: float
) -> list[Layer]:
    """Nuclei between the glands, `share` of them, partly in clusters."""
    count = int(share * rng.uniform(*kind.loose) / zoom**2)
    at = rng.uniform(-0.05, 1.05, (count, 2))
    heart = rng.random((3, 2))[(rng.random(count) * 3).astype(int)]
    at = np.where(rng.random((count, 1)) < 0.5, heart + rng.uniform(-0.3, 0.3, (count, 2)), at)
    angle = grain + rng.uniform(-0.4, 0.4, count)
    length, plump = zoom * rng.uniform(*kind.length, count), rng.uniform(*kind.plump, count)
    return [_nuclei(rng, at, angle, length, plump, stain, 1 - kind.order, blur)]


def _nuclei(
    rng: np.random.Generator,
    at: Numbers,
    angle: Numbers,
    length: Numbers,
    plump: Numbers,
    stain: _Stain,
    wild: float,
    blur: float,
) -> Layer:
    """Nuclei centered on `at` (K, 2); wild ones are dented, speckled and unevenly stained."""
    depth = 1 + (0.15 + 0.35 * wild) * rng.uniform(-1, 1, len(at))
    colors = stain.nuclei * depth[:, None, None] * np.array([[0.85], [1.4], [0.5]])
    start = at - 0.5 * length[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    shape = _DENTED if wild > 0.5 else _SMOOTH
    return flat(shape, start, angle, length, length * plump, colors, _ABOVE, shadow=0.2, blur=blur)


def _lamp(rng: np.random.Generator, image: Array) -> NDArray[np.uint8]:
    """The microscope's uneven light, gamma 2, the camera's noise, and bytes."""
    size = image.shape[-1]
    gain = rng.uniform(0.8, 1.15) * (1 + rng.uniform(-0.08, 0.08, 3))
    image *= gain.astype(np.float32)[:, None, None]
    image *= 1 - np.float32(rng.uniform(0.05, 0.45)) * field(rng, 2, 3, size)
    np.sqrt(image, out=image)
    image *= np.float32(255)
    image += np.float32(rng.uniform(0, 12)) * (field(rng, 64, 64, size) - np.float32(0.5)) + np.float32(0.5)
    return np.clip(image, 0, 255).astype(np.uint8)
