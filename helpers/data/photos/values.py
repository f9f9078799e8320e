"""Gray images of 16 bits, 32 bits or floating point (X-rays, microscopy, depth) on the scale from black to white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from helpers.errors import note

Range = tuple[float, float]
Values = tuple[float, float, bool]
"""Black and white; of an image, the least value, the greatest, and whether they are whole numbers."""


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 256 shades of gray."""
    return image.mode[0] in "IF"


def values_of(image: Image.Image) -> Values:
    """The values that an image holds; ValueError if one of them is not a finite number."""
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite numbers")
    return float(values.min()), float(values.max()), values.dtype.kind in "ui"


def eight_bits(image: Image.Image, value_range: Range | None = None) -> Image.Image:
    """A deep gray image in 256 shades, mode "L"; values beyond black and white are clipped.

    Without a range it is guessed from this image alone: 0 to 65535 for 16 bits; else 0 to 1 (floating point), 255 or
    65535, or from the least to the greatest value outside of these.
    """
    (least, greatest, whole), values = values_of(image), np.asarray(image)
    if value_range is None:
        usual = [65535.0] if values.dtype.kind == "u" and values.dtype.itemsize == 2 else [255.0, 65535.0]
        white = next((end for end in [1.0] * (not whole) + usual if least >= 0 and greatest <= end), None)
        value_range = (least, greatest) if white is None else (0.0, white)
    black, white = value_range
    scaled = (values.astype(np.float64) - black) * (255 / max(white - black, 1e-12))
    return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def choose_range(found: Sequence[Values], where: object) -> Range | None:
    """One range for all deep images of a set, so that equal values get equal shades; said where it is not the usual.

    Black is 0, unless values below it or only far above it occur; white is the greatest value, for whole numbers the
    greatest of as many bits (4095 for 12-bit X-rays). None where there is no deep image.
    """
    if not found:
        return None
    least, greatest, whole = min(v[0] for v in found), max(v[1] for v in found), all(v[2] for v in found)
    black, white = 0.0 if 0 <= least <= greatest / 2 else least, max(greatest, least + 1e-6)
    if black == 0 and whole:
        white = 2.0 ** max(1, int(greatest).bit_length()) - 1
    elif black == 0 and 0.5 < greatest <= 1:
        white = 1.0
    if black != 0 or white not in ((65535,) if whole else (1, 255, 65535)):
        note(
            f"{where}: {len(found)} images of over 8 bits hold values from {least:g} to {greatest:g}; {black:g} "
            f"is taken as black and {white:g} as white in all of them, and in photos that the trained model sees later."
        )
    return black, white
