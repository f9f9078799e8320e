"""Color management: the pixels of a photo with an embedded ICC profile, converted to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")

SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK", "LAB": b"Lab "}
"""The color space that a profile must be of, for each of Pillow's modes (bytes 16 to 20 of the profile)."""


def in_srgb(image: Image.Image) -> bool:
    """Whether an image can be shown as it is: no profile, that of sRGB, or one that cannot be used."""
    return _to_srgb(image.info.get("icc_profile", b""), image.mode) is None


def to_srgb(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode in sRGB, "RGB" or (where it is transparent) "RGBA"; without profile, as it is."""
    profile = image.info.get("icc_profile", b"")
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in SPACES or (image.mode == "L" and profile[16:20] == SPACES["RGB"]):
        image = image.convert("RGB")
    transform = _to_srgb(profile, image.mode)
    if transform is not None:
        return ImageCms.applyTransform(image, transform)
    return image if image.mode == "RGBA" else image.convert("RGB")


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion from a profile (perceptual); None where it would change nothing, or cannot be made."""
    if profile[16:20] != SPACES.get(mode):
        return None
    try:
        if "sRGB" in ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(profile))):
            return None
        return ImageCms.buildTransform(io.BytesIO(profile), SRGB, mode, "RGBA" if mode == "RGBA" else "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
