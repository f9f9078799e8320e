"""Flowers of invented species, drawn from formulas: the near target of the course.

Every picture shows one to four flowers of a single species, seen from some angle, in some light, before some
background. Picture i depends on (labels[i], i, seed) alone; its size only says how finely it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.drawn import scenery
from helpers.drawn.canvas import Array, Patches, Stamps, check, develop, dice, joined, oklch, render
from helpers.drawn.species import COLOURS, TABLE, Species

if TYPE_CHECKING:
    from torch import Tensor

SPECIES: tuple[str, ...] = tuple(species.name for species in TABLE)
_STREAM = 1


def draw(labels: Sequence[int], size: int = 64, seed: int = 0) -> Tensor:
    """Draw one picture for each label.

    Args:
        labels: which species, as indices into `SPECIES`.
        size: width and height in pixels, at least 16.
        seed: another seed, another set of pictures.

    Returns:
        uint8 tensor (N, 3, size, size), RGB.

    Raises:
        HelpersError: for a label that is no species, a size under 16 or a negative seed.
    """
    import torch

    labels = check(labels, len(SPECIES), size, seed)
    pictures = np.empty((len(labels), 3, size, size), np.uint8)
    for i, label in enumerate(labels):
        pictures[i] = _picture(TABLE[label], dice(seed, i, label, _STREAM), size)
    return torch.from_numpy(pictures)


def _picture(species: Species, rng: np.random.Generator, size: int) -> np.ndarray:
    picture = scenery.backdrop(rng, size)
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.95)
    flat = np.sqrt(1 - height * height)
    sun = np.array([flat * np.cos(turn), flat * np.sin(turn), height])
    centres, radii = _places(rng)
    scenery.stems(rng, species.leaf, centres, radii, sun, size, picture)
    colours = _colours(species, rng)
    heads = [_head(species, rng, centre, radius, colours, sun) for centre, radius in zip(centres, radii, strict=True)]
    petals = render(species.petal, joined(head[0] for head in heads), size)
    discs = render(species.disc, joined(head[1] for head in heads), size)
    start = 0
    for flower, head in enumerate(heads):
        behind, total = head[2], len(head[0].at)
        for k in range(start, start + behind):
            petals.lay(picture, k)
        discs.lay(picture, flower)
        for k in range(start + behind, start + total):
            petals.lay(picture, k)
        start += total
    if rng.random() < 0.3:
        scenery.in_front(rng, size, picture)
    scenery.dapple(rng, size, picture)
    return develop(picture, rng)


def _places(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres (K, 2) and radii (K,) of one to four flowers, the farthest (smallest) first."""
    count = 1 + int(np.searchsorted([0.55, 0.8, 0.93], rng.random()))
    radii = rng.uniform(0.24, 0.42) * np.array([1.0, *rng.uniform(0.45, 0.8, 3)])[:count]
    centres = np.concatenate([rng.uniform(0.36, 0.64, (1, 2)), rng.uniform(0.08, 0.92, (3, 2))])[:count]
    away = centres[1:] - centres[0]
    distance = np.hypot(away[:, 0], away[:, 1])[:, None] + 1e-6
    wanted = np.maximum(distance, 0.75 * (radii[0] + radii[1:, None]))
    centres[1:] = centres[0] + away / distance * wanted
    return centres[::-1].copy(), radii[::-1].copy()


def _colours(species: Species, rng: np.random.Generator) -> np.ndarray:
    """Base, tip and mark colour of this picture's flowers, linear RGB (3, 3)."""
    chances = np.array([2.0] + [1.0] * (len(species.colours) - 1))
    name = species.colours[int(np.searchsorted(np.cumsum(chances / chances.sum())[:-1], rng.random()))]
    l, c, h = COLOURS[name]
    l, c, h = l + rng.uniform(-0.07, 0.05), c * rng.uniform(0.7, 1.15), h + rng.uniform(-14, 14)
    shift = rng.uniform(-0.10, 0.10)
    base, tip = oklch(l - shift, c * (1 + shift), h), oklch(l + shift, c * (1 - shift), h + 60 * shift)
    mark = scenery.shade_of(rng, COLOURS[species.mark], 0.6)
    return np.stack([base, tip, mark])


def _turned(vectors: np.ndarray, tilt: float, about: float) -> np.ndarray:
    """Vectors (..., 3) turned by `tilt` about a line in the picture's plane at angle `about`."""
    axis = np.array([np.cos(about), np.sin(about), 0.0])
    along = (vectors @ axis)[..., None] * axis
    return along + np.cos(tilt) * (vectors - along) + np.sin(tilt) * np.cross(axis, vectors)


def _head(
    species: Species, rng: np.random.Generator, centre: np.ndarray, radius: float, colours: np.ndarray, sun: np.ndarray
) -> tuple[Stamps, Stamps, int]:
    """One flower: its petals from back to front, its disc, and how many petals lie behind the disc."""
    tilt, about = np.deg2rad(58) * rng.random() ** 0.8, rng.uniform(0, 2 * np.pi)
    count, layers = species.count, species.layers
    layer = np.repeat(np.arange(layers), count)
    pitch = 2 * np.pi / count
    jitter = rng.uniform(-1, 1, (5, layers * count))
    angle = (
        rng.uniform(0, 2 * np.pi) + pitch * (np.arange(layers * count) % count + 0.5 * layer) + 0.13 * pitch * jitter[0]
    )
    rise = np.deg2rad(species.rise + rng.uniform(-8, 10) + 9 * layer + 4 * jitter[1])
    length = radius * (1 - 0.6 * layer / max(layers, 2)) * (1 + 0.06 * jitter[2])
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros(layers * count)
    along = _turned(np.stack([cos * np.cos(rise), sin * np.cos(rise), np.sin(rise)], -1), tilt, about)
    across = _turned(np.stack([-sin, cos, zero], -1), tilt, about)
    normal = np.cross(along, across)
    frame = np.stack([along[:, :2] * length[:, None], across[:, :2] * (length * (1 + 0.1 * jitter[3]))[:, None]], -1)
    frame = _at_least(frame, 0.16)
    facing = normal @ sun
    light = np.stack(
        [0.4 + 0.85 * np.where(facing > 0, facing, -0.45 * facing), -0.7 * (along @ sun), -0.7 * (across @ sun)], -1
    )
    light *= (1 - 0.08 * layer / layers)[:, None]
    front = (normal[:, 2] < 0.12) & (along[:, 2] > 0)
    order = np.lexsort((along[:, 2] + 0.05 * jitter[4], front, layer))
    order = order[np.argsort(front[order], kind="stable")]
    full = np.ones(layers * count)
    petals = Stamps(
        np.tile(centre, (layers * count, 1)),
        frame,
        np.tile(colours, (layers * count, 1, 1)),
        light,
        0.12 * jitter[3],
        0.4 * full,
        0 * full,
    )
    petals = Stamps(*(part[order] for part in petals))
    return petals, _disc(species, rng, centre, radius, tilt, about, sun), int((~front).sum())


def _at_least(frame: np.ndarray, thinnest: float) -> np.ndarray:
    """Frames (K, 2, 2) seen edge-on, widened so that a petal keeps a visible thickness."""
    u, s, vt = np.linalg.svd(frame)
    return (u * np.maximum(s, thinnest * s[:, :1])[:, None, :]) @ vt


def _disc(
    species: Species,
    rng: np.random.Generator,
    centre: np.ndarray,
    radius: float,
    tilt: float,
    about: float,
    sun: np.ndarray,
) -> Stamps:
    across = 2 * radius * species.disc_size * rng.uniform(0.85, 1.15)
    spin = rng.uniform(0, 2 * np.pi)
    plane = np.array([[np.cos(spin), np.sin(spin), 0.0], [-np.sin(spin), np.cos(spin), 0.0], [0.0, 0.0, 1.0]])
    first, second, up = _turned(plane, tilt, about)
    frame = np.stack([first[:2], second[:2]], -1)[None] * across
    colours = np.stack([scenery.shade_of(rng, COLOURS[name], 0.7) for name in species.disc_colours])
    light = np.array([[0.4 + 0.8 * max(up @ sun, 0.15), -0.5 * (first @ sun), -0.5 * (second @ sun)]])
    lift = (0.15 if species.disc.kind == "florets" else 0.5) * across * up[:2]
    at = (centre + lift - 0.5 * frame[0, :, 0])[None]
    return Stamps(at, frame, colours[None], light, np.zeros(1), np.full(1, 0.45), np.zeros(1))
