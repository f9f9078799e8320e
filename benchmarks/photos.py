"""Photos for the benchmark: the real ants and bees where `published` finds them, else generated JPEGs like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data.photos.published import published

# The usual size of those photos, and how many there are.
SIZE = (500, 375)
COUNTS = {"train": {"ants": 123, "bees": 121}, "val": {"ants": 70, "bees": 83}}


def photos(folder: Path) -> str:
    """Fill `folder` with train/val folders that every contender can read, and say what they hold."""
    real = published("ants-bees")
    if real is not None:
        _link(real, folder)
        return "real ants and bees photos"
    _generate(folder)
    return f"generated JPEGs of {SIZE[0]} x {SIZE[1]}"


def _link(real: Path, folder: Path) -> None:
    for source in sorted(real.glob("*/*/*")):
        if source.suffix.lower() not in (".jpg", ".jpeg"):
            continue  # one broken GIF, at which some of the contenders stop
        target = folder / source.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def _generate(folder: Path) -> None:
    """Smooth random images: their JPEGs are about as large as photos' and take as long to decode."""
    generator = np.random.default_rng(0)
    for split, classes in COUNTS.items():
        for name, count in classes.items():
            home = folder / split / name
            home.mkdir(parents=True)
            for number in range(count):
                coarse = generator.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
                smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
                noisy = smooth + generator.integers(-12, 13, smooth.shape)
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(home / f"{number:03d}.jpg", quality=90)
