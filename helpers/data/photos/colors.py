"""Color management: the pixels of a photo with an embedded ICC profile, converted to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")

NOT_VISIBLE = 2
"""Greatest difference, of 255, up to which a profile counts as sRGB (there are dozens of spellings of it)."""

SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}
"""The color space that a profile must be of, for each of Pillow's modes."""


def in_srgb(image: Image.Image) -> bool:
    """Whether an image can be shown as it is: no profile, that of sRGB, or one that cannot be used."""
    return image.mode in SPACES and _transform(image.info.get("icc_profile"), image.mode) is None


def to_srgb(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode in sRGB, "RGB" or (where it has transparency) "RGBA"; perceptual intent.

    An image without a usable profile is taken for sRGB.
    """
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in SPACES or (image.mode == "L" and _space(profile) == SPACES["RGB"]):
        image = image.convert("RGB")
    transform = _transform(profile, image.mode)
    if transform is not None:
        return ImageCms.applyTransform(image, transform)
    return image if image.mode == "RGBA" else image.convert("RGB")


def _space(profile: bytes | None) -> str:
    return "" if profile is None else profile[16:20].decode("latin-1")


@lru_cache(maxsize=64)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from a profile to sRGB; None where it would change nothing, or cannot be made."""
    if _space(profile) != SPACES[mode]:
        return None
    target = "RGBA" if mode == "RGBA" else "RGB"
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), SRGB, mode, target)
    except ImageCms.PyCMSError:
        return None
    if mode not in ("RGB", "RGBA", "L"):
        return transform
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(6, 36, 3)
    image = Image.fromarray(cube).convert(mode)
    changes = np.asarray(ImageCms.applyTransform(image, transform).convert("RGB"), int) - np.asarray(
        image.convert("RGB"), int
    )
    return transform if np.abs(changes).max() > NOT_VISIBLE else None
