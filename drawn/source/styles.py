"""What a class of source images looks like: outlines, fills and palettes, each a small record of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drawn.source.tables import noise, noise_tiles, rgb, wave

Array = np.ndarray
Rng = np.random.Generator

DIRECTIONS = 2048
"""An outline is a table of radii over this many directions."""


def _angles() -> Array:
    """The angle (radians) of each direction, in the order of `direction`."""
    p = (np.arange(DIRECTIONS) + 0.5) * (4 / DIRECTIONS)
    quarter, part = np.floor(p), p - np.floor(p)
    return quarter * (np.pi / 2) + np.arctan2(part, 1 - part)


ANGLES = _angles()


def direction(x: Array, y: Array) -> Array:
    """Index of the direction of (x, y) in an outline's table, without arctangent ("diamond angle")."""
    ratio = y / (np.abs(x) + np.abs(y) + np.float32(1e-9))
    p = np.where(x < 0, 2 - ratio, np.where(y < 0, 4 + ratio, ratio))
    return (p * (DIRECTIONS / 4)).astype(np.intp) & (DIRECTIONS - 1)


OUTLINES = ("waves", "blob", "polygon", "star", "superformula", "gear", "facets")


def outline(kind: str, rng: Rng) -> Array:
    """A random closed outline of one kind.

    Radial contours as source classes: Kataoka et al., *Replacing Labeled Real-image Datasets with Auto-generated
    Contours* (CVPR 2022).

    Returns:
        float64 (DIRECTIONS,): radius in each direction; the largest is 1.
    """
    a = ANGLES
    if kind == "waves":
        k = rng.integers(2, 14, size=rng.integers(1, 4))
        r = 1 + (rng.uniform(0.08, 0.4, len(k)) @ np.sin(np.outer(k, a) + rng.uniform(0, 2 * np.pi, (len(k), 1))))
    elif kind == "blob":
        k = np.arange(1, 24)
        size = rng.normal(size=23) * k ** -rng.uniform(0.8, 1.6) * 0.35
        r = 1 + size @ np.sin(np.outer(k, a) + rng.uniform(0, 2 * np.pi, (23, 1)))
    elif kind == "polygon":
        step = 2 * np.pi / rng.integers(3, 9)
        r = np.cos(step / 2) / np.cos(a % step - step / 2)
    elif kind == "star":
        step = 2 * np.pi / rng.integers(3, 13)
        r = 1 - rng.uniform(0.25, 0.7) * np.abs(a % step / step * 2 - 1) ** rng.choice([0.6, 1.0, 1.6])
    elif kind == "superformula":  # Gielis (2003)
        m, n1, n2, n3 = rng.integers(2, 12), *rng.uniform((0.4, 0.5, 0.5), (4, 5, 5))
        r = (np.abs(np.cos(m * a / 4)) ** n2 + np.abs(np.sin(m * a / 4)) ** n3 + 1e-3) ** (-1 / n1)
    elif kind == "gear":
        teeth, sharp = rng.integers(3, 18), rng.uniform(2, 12)
        r = 1 + rng.uniform(0.1, 0.35) * np.tanh(sharp * np.sin(teeth * a))
    else:
        edges = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
        slack = np.cos(a[None] - edges[:, None])
        r = (rng.uniform(0.6, 1, (len(edges), 1)) / np.maximum(slack, 0.12)).min(0)
    r = np.clip(r, 0.12 * r.max(), None)
    return r / r.max()


def wobble(rng: Rng, radii: Array, amount: float) -> Array:
    """One image's own version of an outline: slow random bulges of relative size `amount`; float32."""
    turns = ANGLES * (1 / (2 * np.pi))
    r = radii
    for k in (1, 2, 3):
        r = r * (1 + amount / k * rng.uniform(-1, 1) * wave(k * turns + rng.random()))
    return np.minimum(r, 1.15).astype(np.float32)


@dataclass(frozen=True)
class Palette:
    """Colors of a class in hue (turns), saturation and value; or None for new ones in every image."""

    hsv: Array | None

    @classmethod
    def random(cls, rng: Rng, own: float = 1.0) -> Palette:
        """A palette of 3 to 5 colors; with probability 1 - `own` one that each image draws anew."""
        return cls(_random_hsv(rng) if rng.random() < own else None)

    def colors(self, rng: Rng, spread: float = 1.0) -> Array:
        """This image's version, as RGB float64 (k, 3) in [0, 1]."""
        hsv = _random_hsv(rng) if self.hsv is None else self.hsv
        hue = hsv[:, 0] + spread * (rng.normal(0, 0.02) + rng.normal(0, 0.01, len(hsv)))
        saturation = np.clip(hsv[:, 1] * rng.uniform(1 - 0.2 * spread, 1 + 0.1 * spread), 0, 1)
        value = np.clip(hsv[:, 2] + spread * rng.normal(0, 0.06, len(hsv)), 0.03, 1)
        return rgb(hue, saturation, value)


def _random_hsv(rng: Rng) -> Array:
    count = rng.integers(3, 6)
    hue = rng.random() + rng.choice([0.04, 0.12, 0.5]) * rng.normal(size=count)
    return np.stack([hue, rng.beta(1.6, 1.2, count), rng.beta(1.8, 1.2, count)], 1)


@dataclass(frozen=True)
class Fill:
    """How a surface gets its values in [0, 1] (looked up in a palette): a sum of a few simple patterns.

    The patterns: rings and ramp along the radius, spokes along the direction, stripes and spots along x and y,
    and a noise tile; `warp` bends x and y by noise first, `hard` cuts the ramp into flat colors.
    """

    ramp: float
    rings: tuple[float, float]
    spokes: tuple[float, int]
    stripes: tuple[float, float]
    spots: tuple[float, float]
    noise: tuple[float, float]
    tile: int
    warp: float
    hard: bool

    @classmethod
    def random(cls, rng: Rng, radial: bool) -> Fill:
        """A random fill; `radial` ones know a center, the others cover a whole surface."""
        on = rng.random(5) < ((0.5, 0.45, 0.25, 0.2, 0.6) if radial else (0.12, 0.06, 0.5, 0.35, 0.8))
        return cls(
            ramp=float(rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1)) if radial else 0.0,
            rings=(float(on[0] * rng.uniform(0.15, 0.6)), float(rng.uniform(0.7, 5))),
            spokes=(float(on[1] * rng.uniform(0.15, 0.5)), int(rng.integers(2, 25))),
            stripes=(float(on[2] * rng.uniform(0.2, 0.7)), float(rng.uniform(1, 7))),
            spots=(float(on[3] * rng.uniform(0.2, 0.7)), float(rng.uniform(1.5, 6))),
            noise=(float(on[4] * rng.uniform(0.2, 0.9)), float(rng.uniform(0.06, 0.35))),
            tile=int(rng.integers(len(noise_tiles()))),
            warp=float(rng.uniform(0.05, 0.5) * (rng.random() < 0.4)),
            hard=bool(rng.random() < 0.3),
        )

    def values(self, rng: Rng, x: Array, y: Array, q: Array | None, turns: Array | None) -> Array:
        """Values in about [0, 1] at points (x, y), with relative radius `q` and angle `turns` where there are."""
        ox, oy, phase = rng.random(3).astype(np.float32)
        if self.warp:
            bend = noise(6, x * np.float32(0.12) + oy, y * np.float32(0.12) + ox) - np.float32(0.5)
            x = x + np.float32(self.warp) * bend
            y = y - np.float32(self.warp) * bend
        t = np.full(x.shape, 0.5, np.float32) if q is None else np.float32(self.ramp) * (q - np.float32(0.5)) + 0.5
        if self.rings[0]:
            radius = np.sqrt(x * x + y * y) if q is None else q
            t += np.float32(0.5 * self.rings[0]) * wave(np.float32(self.rings[1]) * radius + phase * 0.25)
        if self.spokes[0] and turns is not None:
            t += np.float32(0.5 * self.spokes[0]) * wave(self.spokes[1] * turns)
        if self.stripes[0]:
            t += np.float32(0.5 * self.stripes[0]) * wave(np.float32(self.stripes[1]) * x + phase)
        if self.spots[0]:
            f = np.float32(self.spots[1])
            t += np.float32(0.5 * self.spots[0]) * wave(f * x + phase) * wave(f * y + ox)
        if self.noise[0]:
            f = np.float32(self.noise[1])
            t += np.float32(self.noise[0]) * (noise(self.tile, f * x + ox, f * y + oy) - np.float32(0.5))
        return t
