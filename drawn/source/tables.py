"""Tables that every source image reads: sine, noise tiles, and color ramps.

Images must be the same on every machine. Additions, products, quotients and square roots are rounded alike
everywhere, but sine, exponential and arctangent may differ in the last bit. So such functions are computed here,
once, in double precision, and rounded to coarse tables; a last-bit difference then never reaches a pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Array = np.ndarray

TILE = 512
_STEPS = 4096


@lru_cache(maxsize=1)
def _sine() -> Array:
    return np.round(np.sin(np.arange(_STEPS) * (2 * np.pi / _STEPS)) * 2**20).astype(np.float32) / 2**20


def wave(turns: Array) -> Array:
    """Sine of an angle in turns (1 turn = 360 degrees), from the table; float32, in [-1, 1]."""
    return _sine()[(turns * _STEPS).astype(np.int32) & (_STEPS - 1)]


@lru_cache(maxsize=1)
def noise_tiles() -> Array:
    """The bank of periodic noise tiles, values in [0, 1] with a flat histogram.

    Returns:
        float32 array (tiles, TILE * TILE): power-law clouds, band-passed blobs, oriented fibres, ridges and cells.
        Power-law and band-passed noise as training images: Baradad et al., *Learning to See by Looking at
        Noise* (NeurIPS 2021).
    """
    rng = np.random.default_rng(20)
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.fftfreq(TILE) * TILE, indexing="ij")
    radius = np.sqrt(fx * fx + fy * fy)
    radius[0, 0] = 1
    fields = []
    for power in (1.0, 1.4, 1.8, 2.2, 2.6):
        fields += [_filtered(rng, radius**-power) for _ in range(2)]
    for center in (8, 14, 24, 40):
        band = np.exp(-(((radius - center) / (0.25 * center)) ** 2))
        fields.append(_filtered(rng, band))
    for stretch in (4, 10):
        fields.append(_filtered(rng, 1 / (1 + (fx / 6) ** 2 + (stretch * fy / 6) ** 2)))
    for power in (1.6, 2.2):
        fields.append(-np.abs(_filtered(rng, radius**-power)))
    fields += [_cells(rng, count, difference) for count in (60, 250) for difference in (False, True)]
    return np.stack([_flat_histogram(field) for field in fields])


def _filtered(rng: np.random.Generator, spectrum: Array) -> Array:
    spectrum = spectrum.copy()
    spectrum[0, 0] = 0
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE, TILE))) * spectrum).real


def _cells(rng: np.random.Generator, count: int, difference: bool) -> Array:
    """Distance to the nearest of `count` points (Worley, 1996), or how much nearer it is than the second."""
    points = rng.random((count, 2)) * TILE
    axis = np.arange(TILE)
    first = np.full((TILE, TILE), np.inf)
    second = first.copy()
    for px, py in points:
        dx, dy = np.abs(axis - px), np.abs(axis - py)
        dx, dy = np.minimum(dx, TILE - dx), np.minimum(dy, TILE - dy)
        distance = np.sqrt(dy[:, None] ** 2 + dx[None, :] ** 2)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    return second - first if difference else first


def _flat_histogram(field: Array) -> Array:
    rank = np.empty(field.size, dtype=np.int64)
    rank[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    return (rank // 64).astype(np.float32) / (field.size // 64)


def noise(tile: int, x: Array, y: Array) -> Array:
    """Read noise tile `tile` at coordinates in tile widths (they wrap); float32, in [0, 1]."""
    column = (x * TILE).astype(np.int32) & (TILE - 1)
    row = (y * TILE).astype(np.int32) & (TILE - 1)
    return noise_tiles()[tile][row * TILE + column]


@lru_cache(maxsize=1)
def _grain() -> Array:
    return np.round(np.random.default_rng(21).standard_normal(1 << 20), 4).astype(np.float32)


def grain(start: int, count: int) -> Array:
    """`count` values of standard normal noise, from a long table that begins anew when it ends."""
    table = _grain()
    return np.take(table, np.arange(start, start + count), mode="wrap")


def ramp(colors: Array, steps: int = 256) -> Array:
    """A color ramp through `colors` (k, 3), as float32 (steps, 3)."""
    at = np.linspace(0, len(colors) - 1, steps)
    low = np.minimum(at.astype(int), len(colors) - 2)
    part = (at - low)[:, None]
    return (colors[low] * (1 - part) + colors[low + 1] * part).astype(np.float32)


def paint(values: Array, colors: Array) -> Array:
    """Look up `values` (..., in [0, 1], clipped) in a color ramp; float32 (..., 3)."""
    last = len(colors) - 1
    return colors[np.clip(values * last, 0, last).astype(np.intp)]


def rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """Colors from hue (turns, wraps), saturation and value in [0, 1]; float64 (..., 3)."""
    sector = (np.asarray(hue)[..., None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    chroma = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return np.asarray(value)[..., None] * (1 - np.asarray(saturation)[..., None] * chroma)
