"""Reading a normalization off the images themselves.

A decoded pixel is a whole number k of 255ths. Whatever mean and standard deviation were taken, the values of a
channel then lie on a lattice: (k / 255 - mean) / std. Its spacing gives the standard deviation exactly, and its ends
give the mean up to the range that the images leave open: dark photos leave the upper end open, high-key ones the
lower. Images resampled as floating-point numbers have no lattice; for them only bounds remain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LEVELS = 255
FEW = 12  # distinct values of a channel below which a spacing cannot be trusted


@dataclass(frozen=True)
class Channel:
    """What one channel shows.

    Attributes:
        low, high: smallest and largest value.
        std: the divisor read off the lattice, or None where there is no lattice.
        mean: the interval in which the subtracted mean lies, in [0, 1] units; None without a lattice.
    """

    low: float
    high: float
    std: float | None = None
    mean: tuple[float, float] | None = None

    def distance(self, mean: float, std: float) -> float:
        """How far this normalization is from (mean, std): the largest difference of any pixel, in units of std."""
        nearest = min(max(mean, self.mean[0]), self.mean[1])
        ends = ((0 - nearest) / self.std - (0 - mean) / std, (1 - nearest) / self.std - (1 - mean) / std)
        return max(map(abs, ends))

    def pixel(self, values: torch.Tensor) -> torch.Tensor:
        """Values of this channel as pixels in [0, 1], with the middle of what is possible for the mean."""
        return values * self.std + sum(self.mean) / 2


def channels(images: torch.Tensor) -> list[Channel]:
    """Measure each channel of images (N, C, H, W)."""
    return [measure(images[:, index]) for index in range(images.shape[1])]


def measure(values: torch.Tensor) -> Channel:
    """Measure one channel (any shape)."""
    values = values.detach().cpu().double().flatten()
    low, high = float(values.min()), float(values.max())
    distinct = values[:: max(1, len(values) // 400_000)].unique()
    distinct = torch.cat([distinct, torch.tensor([low, high], dtype=torch.float64)]).unique()
    scale = float(distinct.abs().max())
    gaps = distinct.diff()
    distinct = distinct[torch.cat([torch.tensor([True]), gaps > 4e-6 * max(scale, 1e-6)])]
    if len(distinct) < FEW or len(distinct) > LEVELS + 1:
        return Channel(low, high)
    spacing = _spacing(distinct)
    if spacing is None:
        return Channel(low, high)
    std = 1 / (LEVELS * spacing)
    steps = round((high - low) / spacing)
    lowest = -low * std
    return Channel(low, high, std, (lowest, lowest + (LEVELS - steps) / LEVELS))


def _spacing(distinct: torch.Tensor) -> float | None:
    """The spacing of a lattice that holds all of some sorted values, or None."""
    spacing = float(distinct.diff().min())
    for _ in range(3):  # refine over longer and longer stretches: the smallest gap alone carries rounding errors
        whole = ((distinct - distinct[0]) / spacing).round()
        spacing = float((whole * (distinct - distinct[0])).sum() / whole.square().sum())
    places = (distinct - distinct[0]) / spacing
    if float((places - places.round()).abs().max()) > 0.05 or float(places[-1]) > LEVELS + 0.5:
        return None
    return spacing
