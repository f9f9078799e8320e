"""Drawn microscope slides of stained tissue, in four invented kinds: the far target of the course.

Nothing here is medicine: the kinds borrow the look of stained tissue (glands, nuclei, strands) and no more. The kinds
share their stains and differ in texture: how many nuclei there are, their size and shape, and what lies between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.drawn.canvas import Array, Stamps, check, dice, field, oklch, render
from helpers.drawn.scenery import flat
from helpers.drawn.shapes import Petal

if TYPE_CHECKING:
    from torch import Tensor

CLASSES: tuple[str, ...] = ("orderly", "inflamed", "fibrous", "irregular")
_STREAM = 2
_NUCLEUS = Petal(width=0.5, claw=0.5, blunt=0.67, point=0.5, veins=0.0, cup=0.2, fold=0.2, gradient=(0.2, 1.4))
_DENTED = Petal(
    width=0.46,
    claw=0.5,
    blunt=0.8,
    point=0.5,
    notch=0.2,
    frill=0.08,
    mark="spots",
    veins=0.0,
    cup=0.2,
    fold=0.2,
    gradient=(0.2, 1.4),
)
_SUN = np.array([0.0, 0.0, 0.7])


def draw(labels: Sequence[int], size: int = 64, seed: int = 0) -> Tensor:
    """Draw one slide for each label.

    Args:
        labels: which kind, as indices into `CLASSES`.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of pictures.

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        HelpersError: for a label that is no class, a size under 16 or a negative seed.
    """
    import torch

    labels = check(labels, len(CLASSES), size, seed)
    pictures = np.empty((len(labels), 3, size, size), np.uint8)
    for i, label in enumerate(labels):
        pictures[i] = _picture(CLASSES[label], dice(seed, i, label, _STREAM), size)
    return torch.from_numpy(pictures)


def _picture(kind: str, rng: np.random.Generator, size: int) -> np.ndarray:
    hue = rng.uniform(-22, 22)
    pink = oklch(rng.uniform(0.72, 0.86), rng.uniform(0.05, 0.13), 350 + hue)
    pale = oklch(rng.uniform(0.88, 0.96), rng.uniform(0.01, 0.05), 340 + hue)
    blue = oklch(rng.uniform(0.34, 0.5), rng.uniform(0.08, 0.16), 295 + hue)
    picture = pink[:, None, None] + field(rng, 6, 6, size)[None] * (pale - pink)[:, None, None]
    picture = picture.astype(np.float32)
    strands = {"orderly": 0.25, "inflamed": 0.2, "fibrous": 0.9, "irregular": 0.25}[kind]
    grain = rng.uniform(0, np.pi)
    _strands(rng, size, picture, pink * 0.75, strands * rng.uniform(0.6, 1.0), grain)
    glands = {
        "orderly": 3 + rng.random() * 3,
        "inflamed": rng.random() * 3,
        "fibrous": rng.random() * 2,
        "irregular": 2 + rng.random() * 3,
    }[kind]
    for _ in range(int(glands)):
        _gland(kind, rng, size, picture, pale, pink, blue)
    loose = {"orderly": 14, "inflamed": 170, "fibrous": 22, "irregular": 24}[kind] * rng.uniform(0.6, 1.2)
    _scattered(kind, rng, size, picture, blue, int(loose), grain)
    return _lamp(rng, picture)


def _strands(
    rng: np.random.Generator, size: int, picture: Array, colour: np.ndarray, depth: float, angle: float
) -> None:
    """Wavy fibres: bands of a warped ramp, in place."""
    place = (np.arange(size) + 0.5) / size
    warp = 0.55 * field(rng, 4, 4, size) + 0.12 * field(rng, 9, 9, size)
    phase = (np.cos(angle + np.pi / 2) * place[None] + np.sin(angle + np.pi / 2) * place[:, None] + warp) * rng.uniform(
        7, 13
    )
    wave = np.abs(2 * (phase - np.floor(phase)) - 1).astype(np.float32)
    band = wave * wave * (3 - 2 * wave) * (0.4 + 0.6 * field(rng, 10, 10, size)) * np.float32(depth)
    picture += band * (colour.astype(np.float32)[:, None, None] - picture)


def _gland(
    kind: str, rng: np.random.Generator, size: int, picture: Array, pale: np.ndarray, pink: np.ndarray, blue: np.ndarray
) -> None:
    """A gland: a pale hollow, a ring of cells around it, their nuclei towards the outside."""
    centre, radius = rng.random(2), rng.uniform(0.14, 0.24)
    aspect, turn = rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    for scale, colour in ((2.0, pink * 0.8), (1.0, pale)):
        long, wide = np.array([radius * scale]), np.array([radius * scale * aspect])
        at = centre - 0.5 * long * np.array([np.cos(turn), np.sin(turn)])
        _lay(
            rng,
            _NUCLEUS,
            flat(at[None], np.array([turn]), long, wide, np.stack([colour] * 3)[None], _SUN, shadow=0.1),
            size,
            picture,
        )
    wild = kind == "irregular"
    count = int(rng.uniform(15, 21) * (1.25 if wild else 1))
    around = 2 * np.pi * (np.arange(count) + (0.8 if wild else 0.15) * rng.random(count)) / count
    far = 0.78 * radius * (1 + (0.35 if wild else 0.06) * rng.uniform(-1, 1, count))
    offset = np.stack([far * np.cos(around), far * aspect * np.sin(around)], -1)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    long = rng.uniform(0.05, 0.11, count) if wild else rng.uniform(0.052, 0.06, count)
    angle = around + turn + (rng.uniform(-1.2, 1.2, count) if wild else rng.uniform(-0.12, 0.12, count))
    _nuclei(rng, size, picture, centre + offset @ spin, angle, long, (0.55, 1.1) if wild else (0.55, 0.65), blue, wild)


def _scattered(
    kind: str, rng: np.random.Generator, size: int, picture: Array, blue: np.ndarray, count: int, grain: float
) -> None:
    """Nuclei between the glands: sparse, or a crowd of small dark ones, or thin ones along the strands."""
    at = rng.random((count, 2)) * 1.1 - 0.05
    if kind == "inflamed":
        heart = rng.random((3, 2))[(rng.random(count) * 3).astype(int)]
        at = np.where(rng.random((count, 1)) < 0.6, heart + rng.uniform(-0.3, 0.3, (count, 2)), at)
        _nuclei(
            rng,
            size,
            picture,
            at,
            rng.uniform(0, np.pi, count),
            rng.uniform(0.03, 0.04, count),
            (0.9, 1.0),
            blue * 0.6,
            False,
        )
    else:
        angle = grain + rng.uniform(-0.35, 0.35, count)
        thin = (0.14, 0.22) if kind == "fibrous" else (0.25, 0.4)
        _nuclei(rng, size, picture, at, angle, rng.uniform(0.06, 0.1, count), thin, blue, False)


def _nuclei(
    rng: np.random.Generator,
    size: int,
    picture: Array,
    at: np.ndarray,
    angle: np.ndarray,
    long: np.ndarray,
    plump: tuple[float, float],
    blue: np.ndarray,
    wild: bool,
) -> None:
    count = len(angle)
    depth = rng.uniform(0.5, 1.5, count) if wild else rng.uniform(0.85, 1.15, count)
    colours = blue * depth[:, None, None] * np.array([1.0, 1.5, 0.5])[None, :, None]
    middle = at - 0.5 * long[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    stamps = flat(middle, angle, long, long * rng.uniform(*plump, count), colours, _SUN, shadow=0.15)
    _lay(rng, _DENTED if wild else _NUCLEUS, stamps, size, picture)


def _lay(rng: np.random.Generator, shape: Petal, stamps: Stamps, size: int, picture: Array) -> None:
    blur = np.full(len(stamps.at), 0.006 * rng.random())
    render(shape, stamps._replace(blur=blur), size).lay(picture)


def _lamp(rng: np.random.Generator, picture: Array) -> np.ndarray:
    """The microscope's uneven light, the camera's noise, and bytes."""
    size = picture.shape[-1]
    gain = rng.uniform(0.75, 1.1) * (1 + rng.uniform(-0.08, 0.08, 3))
    picture *= gain.astype(np.float32)[:, None, None]
    picture *= 1 - np.float32(rng.uniform(0.05, 0.5)) * field(rng, 2, 3, size)
    np.sqrt(np.maximum(picture, 0), out=picture)
    picture += np.float32(rng.uniform(0, 0.05)) * (field(rng, 64, 64, size) - np.float32(0.5))
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
