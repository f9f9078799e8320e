"""What every drawn picture shares: chance, colour, smooth fields, stamping of shapes, and the last touch of a camera.

Pictures must come out the same on every machine. So chance comes from NumPy's PCG64 alone, transcendental functions
are computed in float64 on small arrays (tables, one value per petal), and whole pictures see only the operations that
IEEE 754 rounds in one way everywhere: sums, products, quotients and square roots. Colours are linear light, float32,
laid out (3, height, width), until `develop` turns them into bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.drawn.shapes import MARGIN, Shape, table
from helpers.errors import HelpersError

Array = NDArray[np.float32]


def dice(seed: int, index: int, label: int, stream: int) -> np.random.Generator:
    """The chance of one picture: depends on these four numbers and on nothing else."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, label, stream])))


def check(labels: Sequence[int], classes: int, size: int, seed: int) -> list[int]:
    """The labels as plain integers, once the request makes sense.

    Raises:
        HelpersError: for a label that is no class, a size under 16 pixels or a negative seed.
    """
    labels = [int(label) for label in labels]
    wrong = [label for label in labels if not 0 <= label < classes]
    if wrong:
        raise HelpersError(f"labels holds {wrong[0]}; the {classes} classes are 0 to {classes - 1}.")
    if size < 16:
        raise HelpersError(f"size={size} is too small to show anything; ask for at least 16 pixels.")
    if seed < 0:
        raise HelpersError(f"seed={seed} is negative; use 0 or any larger whole number.")
    return labels


def oklch(lightness: float, chroma: float, hue: float) -> NDArray[np.float64]:
    """Linear sRGB of a colour in OKLCH (Björn Ottosson, "A perceptual color space for image processing", 2020).

    Args:
        lightness: 0 (black) to 1 (white).
        chroma: 0 (grey) to about 0.3.
        hue: in degrees.

    Returns:
        red, green and blue, float64 (3,), clipped to [0, 1].
    """
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    rgb = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return np.clip(rgb, 0.0, 1.0)


@lru_cache(maxsize=64)
def _stretch(cells: int, size: int) -> NDArray[np.float64]:
    """Weights (size, cells) that stretch `cells` values smoothly over `size` pixels."""
    place = (np.arange(size) + 0.5) / size * (cells - 1)
    left = np.minimum(place.astype(int), cells - 2)
    part = place - left
    part = part * part * (3 - 2 * part)
    weights = np.zeros((size, cells))
    weights[np.arange(size), left] = 1 - part
    weights[np.arange(size), left + 1] = part
    return weights


def field(rng: np.random.Generator, rows: int, columns: int, size: int) -> Array:
    """Smooth noise in [0, 1], float32 (size, size): a grid of random values, smoothly stretched."""
    grid = rng.random((rows, columns))
    return (_stretch(rows, size) @ grid @ _stretch(columns, size).T).astype(np.float32)


class Stamps(NamedTuple):
    """K copies of one shape, each with its own place, frame, colours and light (all float64 arrays).

    Attributes:
        at: where the shape's origin lies, (K, 2), x and y in picture widths, y downwards.
        frame: the shape's two axes on the picture, (K, 2, 2): `frame[k, :, 0]` is where one unit along it leads.
        colours: base, tip and mark colour, (K, 3, 3), linear RGB.
        light: brightness = light[0] + light[1] * slope along + light[2] * slope across, (K, 3).
        bend: how far the far end is bent sideways, (K,).
        shadow: darkness of the shadow around the shape, (K,), 0 to 1.
        blur: width of the soft edge in picture widths, (K,); 0 is in focus.
    """

    at: NDArray[np.float64]
    frame: NDArray[np.float64]
    colours: NDArray[np.float64]
    light: NDArray[np.float64]
    bend: NDArray[np.float64]
    shadow: NDArray[np.float64]
    blur: NDArray[np.float64]


class Patches(NamedTuple):
    """K little pictures ready to be laid down: picture = picture * keep + add, with their upper left corners."""

    keep: Array
    add: Array
    x: NDArray[np.int64]
    y: NDArray[np.int64]

    def lay(self, picture: Array, which: int | None = None) -> None:
        """Lay one patch, or all in order, onto a picture (3, size, size), in place."""
        height, width = self.keep.shape[1:]
        for k in range(len(self.x)) if which is None else (which,):
            x, y = self.x[k], self.y[k]
            view = picture[:, y : y + height, x : x + width]
            view *= self.keep[k]
            view += self.add[:, k]


def joined(groups: Iterable[Stamps]) -> Stamps:
    """Several groups of stamps of the same shape as one."""
    return Stamps(*(np.concatenate(parts) for parts in zip(*groups, strict=True)))


def render(shape: Shape, stamps: Stamps, size: int) -> Patches:
    """Draw K stamps of one shape, each into its own patch.

    Edges are antialiased by the signed distance that the shape's table holds; the table's resolution follows the
    stamp's size on the picture, so that fine detail neither flickers when small nor blurs when large.
    """
    u, v, x, y = _places(shape, stamps, size)
    count, height, width = u.shape
    half = shape.half_width + MARGIN
    inside = (u > -MARGIN) & (u < 1 + MARGIN) & (v > -half) & (v < half)
    chosen = np.flatnonzero(inside)
    area = np.sqrt(np.abs(np.linalg.det(stamps.frame)))
    reach = np.hypot(stamps.frame[:, 0, 0], stamps.frame[:, 1, 0])
    values = _sample(shape, u.ravel()[chosen], v.ravel()[chosen], float(reach.mean()) * size)
    distance, tip, mark, shade, along, across = values

    each = np.empty((14, count))
    each[0] = area * size / (1.0 + stamps.blur * size)
    each[1] = stamps.shadow
    each[2:5] = stamps.light.T
    each[5:8] = stamps.colours[:, 0].T
    each[8:11] = (stamps.colours[:, 1] - stamps.colours[:, 0]).T
    each[11:14] = stamps.colours[:, 2].T
    each = np.take(each.astype(np.float32), chosen // (height * width), axis=1)

    cover = np.clip(distance * each[0] + 0.5, 0.0, 1.0)
    cover *= cover * (3 - 2 * cover)
    shadow = np.clip(1 + distance / MARGIN, 0.0, 1.0)
    keep = np.ones(u.size, np.float32)
    keep[chosen] = (1 - cover) * (1 - each[1] * (shadow * shadow))
    bright = np.maximum(each[2] + each[3] * along + each[4] * across, 0.06) * shade * cover
    add = np.zeros((3, u.size), np.float32)
    for c in range(3):
        colour = each[5 + c] + tip * each[8 + c]
        colour += mark * (each[11 + c] - colour)
        add[c, chosen] = colour * bright
    return Patches(keep.reshape(u.shape), add.reshape(3, *u.shape), x, y)


def _places(shape: Shape, stamps: Stamps, size: int) -> tuple[Array, Array, NDArray, NDArray]:
    """Each patch's pixels in the shape's own coordinates u (along) and v (across), and the patches' corners."""
    half = shape.half_width + MARGIN * 0.6
    ends = np.array([[-0.6 * MARGIN, 1 + 0.6 * MARGIN, -0.6 * MARGIN, 1 + 0.6 * MARGIN], [-half, -half, half, half]])
    corners = stamps.at[:, :, None] + stamps.frame @ ends
    sway = np.abs(stamps.frame[:, :, 1] * stamps.bend[:, None])
    low, high = corners.min(2) - sway, corners.max(2) + sway
    extent = np.minimum(np.ceil((high - low).max(0) * size).astype(int) + 2, size)
    x = np.clip(np.floor(low[:, 0] * size).astype(int), 0, size - extent[0])
    y = np.clip(np.floor(low[:, 1] * size).astype(int), 0, size - extent[1])
    inverse = np.linalg.inv(stamps.frame)
    dx = ((x[:, None] + np.arange(extent[0]) + 0.5) / size - stamps.at[:, :1])[:, None, :]
    dy = ((y[:, None] + np.arange(extent[1]) + 0.5) / size - stamps.at[:, 1:])[:, :, None]
    a = inverse[:, :, :, None, None]
    u = (a[:, 0, 0] * dx).astype(np.float32) + (a[:, 0, 1] * dy).astype(np.float32)
    v = (a[:, 1, 0] * dx).astype(np.float32) + (a[:, 1, 1] * dy).astype(np.float32)
    v -= stamps.bend.astype(np.float32)[:, None, None] * (u * u)
    return u, v, x, y


def _sample(shape: Shape, u: Array, v: Array, pixels: float) -> tuple[Array, ...]:
    """The table's channels at (u, v), bilinear, from the resolution that suits `pixels` per unit length."""
    cells = 32
    while cells < pixels * (1 + 2 * MARGIN) and cells < 256:
        cells *= 2
    values = table(shape, cells)
    half = shape.half_width + MARGIN
    row = np.clip((u + MARGIN) * (cells / (1 + 2 * MARGIN)) - 0.5, 0, cells - 1.001)
    column = np.clip((v + half) * (cells / (2 * half)) - 0.5, 0, cells - 1.001)
    i, j = row.astype(np.int32), column.astype(np.int32)
    down, right = (row - i)[:, None], (column - j)[:, None]
    first = i * cells + j
    upper = np.take(values, first, axis=0)
    upper += right * (np.take(values, first + 1, axis=0) - upper)
    lower = np.take(values, first + cells, axis=0)
    lower += right * (np.take(values, first + (cells + 1), axis=0) - lower)
    upper += down * (lower - upper)
    return tuple(upper.T)


def develop(picture: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """From linear light to bytes: white balance, exposure, a soft shoulder, grain, gamma 2."""
    size = picture.shape[-1]
    exposure = 2 ** rng.uniform(-0.55, 0.4)
    warmth, green = rng.uniform(-0.14, 0.14), rng.uniform(-0.04, 0.04)
    gain = np.array([1 + warmth, 1 + green, 1 - warmth]) * exposure
    picture *= gain.astype(np.float32)[:, None, None]
    picture *= 1.25 / (0.25 + np.maximum(picture, 0) + 0.75)
    np.sqrt(picture, out=picture)
    grain = rng.uniform(0.0, 0.035)
    picture += np.float32(grain) * (field(rng, 64, 64, size) - np.float32(0.5))
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
