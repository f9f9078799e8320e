"""Outlines of petals and leaves, and the tables that hold a shape's edge, pattern and relief.

A shape lives in its own coordinates: u runs along it from 0 (base) to 1 (tip), v across it. Its table holds, on a grid
over the shape and a margin around it, six channels: signed distance to the edge (positive inside), mix towards the tip
color, mix towards the mark color, shade (a factor), and the surface's slope along u and v.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.09
CHANNELS = 8  # six are used; rows of 32 bytes are fetched much faster than rows of 24
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
Grid = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Petal:
    """A petal or leaf, symmetric about its axis.

    Attributes:
        width: greatest half width, in petal lengths.
        claw: how slowly the base widens (0.3 at once, 1.5 late).
        blunt: how far out the greatest width lies (1 near the middle, 4 near the tip).
        point: how pointed the tip is (0.4 round, 1.2 pointed).
        notch: depth of a notch in the tip.
        teeth, tooth: number of teeth at the tip, and their depth.
        frill: height of waves along the edge.
        gradient: where along the petal the tip color begins and is reached.
        rim: width of a rim in the tip color (0: none).
        mark: pattern in the mark color: "", "blotch", "stripe", "spots" or "lines".
        veins: depth of the veins.
        pinnate: veins branch off a midrib, as in a leaf, instead of fanning out from the base.
        cup: slope of the petal along its axis: positive like a bowl, negative bent back.
        fold: slope across: positive like a gutter, negative like a ridge.
    """

    width: float = 0.4
    claw: float = 0.7
    blunt: float = 2.0
    point: float = 0.5
    notch: float = 0.0
    teeth: int = 0
    tooth: float = 0.0
    frill: float = 0.0
    gradient: tuple[float, float] = (0.1, 1.0)
    rim: float = 0.0
    mark: str = ""
    veins: float = 0.15
    pinnate: bool = False
    cup: float = 0.5
    fold: float = 0.3

    @property
    def half_width(self) -> float:
        """Half the width of the box that holds the shape."""
        return self.width * (1 + 2 * self.frill)


@dataclass(frozen=True, eq=False)
class Disc:
    """The middle of a flower: one unit across, its center at u = 0.5, v = 0.

    Attributes:
        kind: "florets" (packed at the golden angle), "stamens" (anthers on filaments) or "tube" (a trumpet).
        count: number of florets, stamens, or waves of the trumpet's edge.
        ring: radius inside which the second color rules.
    """

    kind: str = "florets"
    count: int = 90
    ring: float = 0.5

    half_width = 0.5


Shape = Petal | Disc


@lru_cache(maxsize=512)
def table(shape: Shape, cells: int) -> NDArray[np.float32]:
    """The shape's table (cells * cells, 8), float32, rows along u; coarse ones are averages of finer ones."""
    if cells < 128:
        fine = table(shape, 2 * cells).astype(np.float64).reshape(cells, 2, cells, 2, CHANNELS)
        values = (fine[:, 0, :, 0] + fine[:, 1, :, 0] + fine[:, 0, :, 1] + fine[:, 1, :, 1]) / 4
    else:
        values = _petal_table(shape, cells) if isinstance(shape, Petal) else _disc_table(shape, cells)
    rows = np.zeros((cells * cells, CHANNELS), np.float32)
    rows[:, : values.shape[-1]] = values.reshape(cells * cells, -1)
    rows[np.abs(rows) < 1e-20] = 0.0  # arithmetic on denormal numbers is many times slower
    return rows


def ramp(value: Grid, start: float, end: float) -> Grid:
    """0 before `start`, 1 after `end`, smooth between."""
    part = np.clip((value - start) / (end - start), 0, 1)
    return part * part * (3 - 2 * part)


def half_outline(petal: Petal, points: int = 72) -> tuple[Grid, Grid]:
    """The edge from base to tip, on the side v >= 0, as a chain of points (u, v)."""
    u = (1 - np.cos(np.pi * np.linspace(0, 1, points))) / 2
    v = _profile(petal, u)
    side = v / petal.width
    late = ramp(u, 0.45, 1.0)
    u = u - petal.notch * late * np.exp(-((side / 0.42) ** 2))
    if petal.teeth:
        u = u - petal.tooth * late * (
            0.5 - 0.5 * np.cos(2 * np.pi * (side * petal.teeth / 2 + (petal.teeth + 1) % 2 / 2))
        )
    if petal.frill:
        phase = np.linspace(0, 1, points)
        v = v * (1 + petal.frill * np.sin(phase * 34) * late)
        u = u + 0.5 * petal.frill * late * np.cos(phase * 41) * ramp(v, 0, 0.1)
    v[0] = v[-1] = 0
    return u, np.maximum(v, 0)


def _profile(petal: Petal, u: Grid) -> Grid:
    def width(u: Grid) -> Grid:
        u = np.clip(u, 0, 1)
        return u**petal.claw * (1 - u ** (1.5 * petal.blunt)) ** petal.point

    return petal.width * width(u) / width(np.linspace(0, 1, 200)).max()


def _distance(u: Grid, v: Grid, chain: tuple[Grid, Grid]) -> Grid:
    """Signed distance from points with v >= 0 to a chain that starts and ends on the axis; positive inside."""
    nearest = np.full(u.shape, np.inf)
    inside = np.zeros(u.shape, bool)
    for u0, v0, u1, v1 in zip(chain[0][:-1], chain[1][:-1], chain[0][1:], chain[1][1:], strict=True):
        du, dv = u1 - u0, v1 - v0
        part = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv + 1e-12), 0, 1)
        nearest = np.minimum(nearest, (u - u0 - part * du) ** 2 + (v - v0 - part * dv) ** 2)
        if v0 != v1:
            inside ^= ((v0 > v) != (v1 > v)) & (u < u0 + (v - v0) * du / dv)
    return np.where(inside, 1, -1) * np.sqrt(nearest)


def _petal_table(petal: Petal, cells: int) -> Grid:
    half = petal.half_width + MARGIN
    u = ((np.arange(cells) + 0.5) / cells * (1 + 2 * MARGIN) - MARGIN)[:, None]
    v = ((np.arange(cells) + 0.5) / cells * 2 * half - half)[None, cells // 2 :]
    u, v = np.broadcast_arrays(u, v)
    distance = _distance(u, v, half_outline(petal))
    side = v / np.maximum(_profile(petal, u), 0.12 * petal.width)
    tip = ramp(u, *petal.gradient)
    if petal.rim:
        tip = np.maximum(tip, 1 - ramp(distance, 0.4 * petal.rim, petal.rim))
    veins, streaks = _veins(petal, u, v, side)
    shade = (1 - petal.veins * veins) * (1 + 0.18 * petal.veins * streaks * ramp(u, 0, 0.4))
    shade = shade * (0.62 + 0.38 * ramp(u, 0.0, 0.4)) * (0.9 + 0.1 * ramp(distance, 0, 0.05))
    along = petal.cup * (1.3 * u - 0.45)
    across = petal.fold * side - 0.5 * abs(petal.fold) * np.exp(-((side / 0.13) ** 2)) * (side / 0.13)
    right = np.stack([distance, tip, _mark(petal, u, v, side), shade, along, across], -1)
    left = right[:, ::-1].copy()
    left[..., 5] *= -1
    return np.concatenate([left, right], 1)


def _veins(petal: Petal, u: Grid, v: Grid, side: Grid) -> tuple[Grid, Grid]:
    """Veins (0 to 1) and the fine streaks between them (about -3 to 3)."""
    if petal.pinnate:
        wave = np.abs(np.sin(np.pi * (9 * u - 3.2 * np.abs(v) / petal.width))) ** 10 * ramp(side, 1.1, 0.6)
        midrib = np.exp(-((v / (0.07 * petal.width)) ** 2))
        return np.maximum(0.8 * wave, midrib), np.sin(60 * u - 20 * side)
    fan = np.abs(np.sin(np.pi * np.clip(side, 0, 1.2) * 4.0)) ** 6
    veins = (1 - fan) ** 6 * ramp(u, 0.05, 0.3) * (1 - ramp(u, 0.75, 1.0))
    return veins, np.sin(side * 23) + np.sin(side * 41 + 5 * u) + np.sin(side * 67 - 3 * u)


def _mark(petal: Petal, u: Grid, v: Grid, side: Grid) -> Grid:
    if petal.mark == "blotch":
        return 1 - ramp(u + 0.08 * np.abs(side), 0.36, 0.5)
    if petal.mark == "stripe":
        return np.exp(-((side / 0.24) ** 2)) * (1 - ramp(u, 0.7, 0.95))
    if petal.mark == "lines":
        lines = np.abs(np.cos(np.pi * side * 2.5)) ** 4
        return lines * (1 - ramp(u + 0.25 * side**2, 0.55, 0.85))
    spots = np.zeros(u.shape)
    if petal.mark == "spots":
        for n in range(1, 34):
            place = 0.12 + 0.6 * n / 34
            offset = petal.width * 0.8 * np.sin(n * GOLDEN_ANGLE)
            size = 0.022 + 0.012 * np.cos(n * 2.3)
            spots = np.maximum(spots, 1 - ramp(np.hypot(u - place, v - abs(offset)), 0.6 * size, 1.5 * size))
    return spots


def _disc_table(disc: Disc, cells: int) -> Grid:
    place = (np.arange(cells) + 0.5) / cells * (1 + 2 * MARGIN) - MARGIN - 0.5
    u, v = np.broadcast_arrays(2 * place[:, None], 2 * place[None, :])
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    draw = {"florets": _florets, "stamens": _stamens, "tube": _tube}[disc.kind]
    edge, tip, mark, height, shade = draw(disc, u, v, radius, angle)
    along, across = np.gradient(height, 2 * (1 + 2 * MARGIN) / cells)
    return np.stack([edge / 2, tip, mark, shade, -along, -across], -1)


def _florets(disc: Disc, u: Grid, v: Grid, radius: Grid, angle: Grid) -> tuple[Grid, ...]:
    """Florets packed as in a sunflower (Vogel 1979): the n-th at radius sqrt(n), one golden angle further."""
    bump, mark = np.zeros(u.shape), np.zeros(u.shape)
    size = 1.15 / np.sqrt(disc.count)
    for n in range(disc.count):
        r = 0.96 * np.sqrt((n + 0.5) / disc.count)
        near = np.hypot(u - r * np.cos(n * GOLDEN_ANGLE), v - r * np.sin(n * GOLDEN_ANGLE)) / size
        bump = np.maximum(bump, 1 - near**2)
        mark = np.maximum(mark, (1 - ramp(near, 0.15, 0.6)) * ramp(np.float64(r), 0.35, 0.9))
    edge = 1 - radius + 0.05 * (bump - 0.5)
    height = 0.5 * (1 - radius**2) + 0.7 * size * bump
    return edge, ramp(radius, disc.ring + 0.2, disc.ring - 0.2), mark, height, 0.5 + 0.55 * bump


def _stamens(disc: Disc, u: Grid, v: Grid, radius: Grid, angle: Grid) -> tuple[Grid, ...]:
    """A pistil in the middle, and anthers on thin filaments around it."""
    edge, mark, height = 0.2 - radius, np.zeros(u.shape), np.maximum(0, 0.2 - radius)
    for n in range(disc.count):
        reach = 0.62 + 0.3 * (0.5 + 0.5 * np.sin(n * 2.7))
        turn = n * GOLDEN_ANGLE if disc.count > 12 else 2 * np.pi * n / disc.count
        end_u, end_v = reach * np.cos(turn), reach * np.sin(turn)
        part = np.clip((u * end_u + v * end_v) / reach**2, 0, 1)
        thread = 0.035 - np.hypot(u - part * end_u, v - part * end_v)
        anther = 0.1 - np.hypot(u - end_u, v - end_v)
        edge = np.maximum(edge, np.maximum(thread, anther))
        mark = np.maximum(mark, ramp(anther, -0.03, 0.02))
        height = np.maximum(height, np.maximum(anther, 0))
    pistil = 1 - ramp(radius, 0.16, 0.24)
    return edge, pistil, mark * (1 - pistil), height, 0.7 + 0.4 * ramp(radius, 0.1, 0.7)


def _tube(disc: Disc, u: Grid, v: Grid, radius: Grid, angle: Grid) -> tuple[Grid, ...]:
    """A trumpet seen from the front: a frilled mouth, a dark throat, anthers inside."""
    mouth = 0.92 + 0.07 * np.cos(angle * disc.count)
    rim = ramp(radius, 0.72, 0.9)
    ribs = 0.12 * np.cos(angle * disc.count) * ramp(radius, 0.2, 0.6)
    anthers = np.zeros(u.shape)
    for n in range(6):
        turn = np.pi * n / 3
        anthers = np.maximum(anthers, 1 - ramp(np.hypot(u - 0.2 * np.cos(turn), v - 0.2 * np.sin(turn)), 0.05, 0.13))
    shade = 0.45 + 0.5 * ramp(radius, 0.1, 0.75) + ribs
    return mouth - radius, rim, anthers, -0.5 * (1 - rim) * (1 - radius), shade + 0.4 * anthers
