"""What every drawn image shares: random numbers, color, smooth fields, and the camera.

Images must come out the same on every machine. So random numbers come from NumPy's PCG64 alone, transcendental
functions are computed in float64 on small arrays (tables, one value per petal), and whole images see only the
operations that IEEE 754 rounds in one way everywhere: sums, products, quotients and square roots. Colors are linear
light, float32, laid out (3, height, width), until `develop` turns them into bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

_TO_CONES = np.array(
    [[1.0, 1.0, 1.0], [0.3963377774, -0.1055613458, -0.0894841775], [0.2158037573, -0.0638541728, -1.2914855480]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -1.2684380046, -0.0041960863],
        [-3.3077115913, 2.6097574011, -0.7034186147],
        [0.2309699292, -0.3413193965, 1.7076147010],
    ]
)
# What a shift of 1 does to lightness, chroma and hue: it adds a share of the value, and an amount.
_MORE, _FURTHER = np.array([0.0, 0.4, 0.0]), np.array([0.09, 0.0, 16.0])


def generator_for(seed: int, index: int, label: int, stream: int) -> np.random.Generator:
    """A random generator for one image, which depends on these four numbers and on nothing else."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, label, stream])))


def check(labels: Sequence[int], classes: int, size: int, seed: int) -> list[int]:
    """The labels as plain integers, once the request makes sense.

    Raises:
        ValueError: for a label that is no class, a size under 16 pixels or a negative seed.
    """
    labels = [int(label) for label in labels]
    wrong = [label for label in labels if not 0 <= label < classes]
    if wrong:
        raise ValueError(f"labels holds {wrong[0]}; the {classes} classes are 0 to {classes - 1}.")
    if size < 16:
        raise ValueError(f"size={size} is too small to show anything; ask for at least 16 pixels.")
    if seed < 0:
        raise ValueError(f"seed={seed} is negative; use 0 or any larger whole number.")
    return labels


def oklch(colors: Numbers | Sequence[float]) -> Numbers:
    """Linear sRGB of colors in OKLCH (Björn Ottosson, "A perceptual color space for image processing", 2020).

    Args:
        colors: (K, 3): lightness 0 (black) to 1 (white), chroma 0 (gray) to about 0.3, hue in degrees.

    Returns:
        red, green and blue, float64 (K, 3), clipped to [0, 1].
    """
    lightness, chroma, hue = np.asarray(colors, np.float64).T
    turn = hue * (np.pi / 180)
    lab = np.empty((len(hue), 3))
    lab[:, 0] = lightness
    lab[:, 1] = chroma * np.cos(turn)
    lab[:, 2] = chroma * np.sin(turn)
    cones = lab @ _TO_CONES
    return np.minimum(np.maximum((cones * cones * cones) @ _TO_RGB, 0.0), 1.0)


def near(rng: np.random.Generator, colors: Numbers | Sequence[Sequence[float]], spread: float) -> Numbers:
    """Colors near the given ones (OKLCH, (K, 3)), as linear RGB (K, 3)."""
    return shifted(colors, spread * rng.uniform(-1, 1, (len(colors), 3)))


def shifted(colors: Numbers | Sequence[Sequence[float]], shift: Numbers) -> Numbers:
    """Colors (OKLCH, (K, 3)) moved in lightness, chroma and hue by `shift` (K, 3), as linear RGB (K, 3)."""
    return oklch(np.maximum(np.asarray(colors) * (1 + _MORE * shift) + _FURTHER * shift, 0.0))


@lru_cache(maxsize=64)
def _stretch(cells: int, size: int) -> Numbers:
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


def develop(image: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """From linear light to bytes: white balance, exposure, a soft shoulder for the highlights, gamma 2, grain."""
    exposure = 1.85 * 2 ** rng.uniform(-0.45, 0.35)
    warmth, green = rng.uniform(-0.12, 0.12), rng.uniform(-0.04, 0.04)
    gain = np.array([1 + warmth, 1 + green, 1 - warmth]) * exposure
    image *= gain.astype(np.float32)[:, None, None]
    image *= (1 + image * np.float32(0.36)) / (1 + image)
    np.sqrt(image, out=image)
    grain = rng.uniform(0.0, 6.0)
    image *= np.float32(255)
    image += np.float32(grain) * (field(rng, 64, 64, image.shape[-1]) - np.float32(0.5)) + np.float32(0.5)
    return np.clip(image, 0, 255).astype(np.uint8)
