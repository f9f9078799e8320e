"""Decoding photos of any kind as a person sees them: upright, in sRGB, eight bits for each color.

Ordinary JPEG files in sRGB are decoded by torchvision (libjpeg-turbo, straight into a tensor), the rest by Pillow.
Measured on one core with photos of 500 x 375 pixels shrunk to 256: 1.6 ms by torchvision, 2.8 ms by Pillow. Photos at
least six times as large as wanted are decoded by Pillow at a fraction of their size (12 megapixels: 14 ms, not 44).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pi_heif
import torch
from PIL import Image, ImageOps
from torch import Tensor

from helpers.data.photos.colors import in_srgb, to_srgb
from helpers.data.photos.values import Range, eight_bits, is_deep
from helpers.data.preprocessing import Preprocessing
from helpers.data.transforms import resize_as
from helpers.errors import HelpersError

DRAFT_FROM = 6
"""Photos this many times as large as wanted are decoded at a fraction of their size."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000", "HEIF")
"""What is read as a photo, by Pillow's names (several photos in one file, MPO, count as JPEG)."""

IN_SOURCE = re.compile(r"^decode_\w+, \S+:\d+, ")
"""Where in its source code torchvision found a fault, which it says before what the fault is."""


class EmptyFile(OSError):
    """A file without a byte."""


REASONS = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "it is a folder",
    PermissionError: "no permission to read it",
    EmptyFile: "the file is empty",
    Image.DecompressionBombError: "it claims more pixels than a photo has",
    Image.UnidentifiedImageError: "its content is no image",
}
"""What the decoders' errors mean, in plain words."""


def prepared_photo(path: str | Path, preprocessing: Preprocessing) -> Tensor:
    """Read a photo for a network: uint8 RGB (3, H, W), resized as its preprocessing says, not yet cropped.

    Raises:
        HelpersError: if the file is missing, damaged, or no image (its content decides, not its name).
    """
    with quiet_decoders():
        return decode_for(Path(path), preprocessing)


def decode_for(path: Path, preprocessing: Preprocessing) -> Tensor:
    """As `prepared_photo`, for use within `quiet_decoders`, also by several threads."""
    return resize_as(decode_file(path, preprocessing.resize_size, preprocessing.value_range), preprocessing)


def decode_file(path: Path, short_side: int | None, value_range: Range | None = None) -> Tensor:
    """The photo in a file, as `decode` gives it; HelpersError if it is missing, damaged, or no image."""
    try:
        return decode(path.read_bytes(), short_side, value_range)
    except Exception as error:
        advice = "check the path" if isinstance(error, FileNotFoundError) else "mend or remove it"
        raise HelpersError(f"{path} cannot be read as a photo ({reason(error)}); {advice}.") from error


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Without the decoders' warnings about odd metadata: the image is what counts. For the main thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL|torchvision")
        yield


def decode(data: bytes, short_side: int | None = None, value_range: Range | None = None) -> Tensor:
    """The photo in `data` as uint8 RGB (3, H, W); large JPEGs come smaller, but at least twice `short_side`.

    Of a file with several images (animation, pages of a TIFF) it is the first.

    Raises:
        Exception: whatever the decoders raise on damaged data; see `reason`.
    """
    if not data:
        raise EmptyFile
    with open_photo(data) as image:
        jpeg = image.format in ("JPEG", "MPO")
        if jpeg and short_side and min(image.size) >= DRAFT_FROM * short_side:
            image.draft(None, (2 * short_side, 2 * short_side))
        elif jpeg and image.mode in ("RGB", "L") and in_srgb(image):
            from torchvision.io import ImageReadMode, decode_jpeg

            stored = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            return decode_jpeg(stored, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        image.load()
        pixels = np.array(shown(image, value_range))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def open_photo(source: bytes | Path) -> Image.Image:
    """A photo's header by Pillow, its pixels not yet decoded; `source` is a file's bytes or its path."""
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    Image.preinit()  # the common ones; `Image.init` would load forty
    for plugin in ("Avif", "Jpeg2K", "Tiff", "WebP"):
        import_module(f"PIL.{plugin}ImagePlugin")
    pi_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF is left out of some builds


def reason(error: Exception) -> str:
    """Why a photo could not be read, in plain words."""
    for kind, words in REASONS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = IN_SOURCE.sub("", " ".join(str(error).split()))
    if "premature end" in text.lower():
        return f"the file is cut off or damaged within: {text}"
    if "truncated" in text or "incomplete" in text:
        return "the file is cut off"
    return text or type(error).__name__


def shown(image: Image.Image, value_range: Range | None = None) -> Image.Image:
    """An image as a person sees it: upright, in sRGB, eight bits, transparent parts on white."""
    image = upright(image)
    if is_deep(image):
        return eight_bits(image, value_range).convert("RGB")
    image = to_srgb(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image


def upright(image: Image.Image) -> Image.Image:
    """Turn and mirror an image as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data say nothing about the image
        return image
