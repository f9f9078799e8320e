"""Decoding photos of any kind as a person sees them: upright, in red, green and blue, eight bits each.

Ordinary JPEG files are decoded by torchvision (libjpeg-turbo, straight into a tensor), everything else by Pillow.
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
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from helpers.data.transforms import resize_short_side
from helpers.errors import HelpersError

DRAFT_FROM = 6
"""Photos this many times as large as wanted are decoded at a fraction of their size."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000")
"""What is read as a photo, by Pillow's names (several photos in one file, MPO, count as JPEG)."""

HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
"""Kinds of the files in which phones keep photos that Pillow does not read (ISO 23008-12; bytes 8 to 12)."""

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


def read_photo(path: str | Path, short_side: int | None = None, interpolation: str = "bilinear") -> Tensor:
    """Read a photo: uint8 RGB (3, H, W), upright, transparent parts on white.

    Args:
        path: the file; its content decides what it is, not its name.
        short_side: shrink or enlarge to this many pixels on the shorter side; None keeps the photo's size.
        interpolation: "bilinear", "bicubic" or "nearest".

    Raises:
        HelpersError: if the file is missing, damaged, or no image.
    """
    with quiet_decoders():
        return decode_file(Path(path), short_side, interpolation)


def decode_file(path: Path, short_side: int | None, interpolation: str) -> Tensor:
    """As `read_photo`, for use within `quiet_decoders`, also by several threads."""
    try:
        photo = decode(path.read_bytes(), short_side)
    except Exception as error:
        advice = "check the path" if isinstance(error, FileNotFoundError) else "mend or remove it"
        raise HelpersError(f"{path} cannot be read as a photo ({reason(error)}); {advice}.") from error
    return photo if short_side is None else resize_short_side(photo, short_side, interpolation)


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Without the decoders' warnings about odd metadata: the image is what counts. For the main thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL|torchvision")
        yield


def decode(data: bytes, short_side: int | None = None) -> Tensor:
    """The photo in `data` as uint8 RGB (3, H, W); large JPEGs come smaller, but at least twice `short_side`.

    Raises:
        Exception: whatever the decoders raise on damaged data; see `reason`.
    """
    if not data:
        raise EmptyFile
    with open_photo(data) as image:
        jpeg = image.format in ("JPEG", "MPO")
        if jpeg and short_side and min(image.size) >= DRAFT_FROM * short_side:
            image.draft(None, (2 * short_side, 2 * short_side))
        elif jpeg and image.mode in ("RGB", "L"):
            from torchvision.io import ImageReadMode, decode_jpeg

            stored = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            return decode_jpeg(stored, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        image.load()
        pixels = np.array(_rgb(_upright(image)))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def open_photo(source: bytes | Path) -> Image.Image:
    """A photo's header by Pillow, its pixels not yet decoded; `source` is a file's bytes or its path."""
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats())
    except Image.UnidentifiedImageError:
        if isinstance(source, bytes) and source[4:8] == b"ftyp" and source[8:12] in HEIC:
            raise ValueError("HEIC is not read here: save the photo as JPEG") from None
        raise


@cache
def _formats() -> tuple[str, ...]:
    Image.preinit()  # the common ones; `Image.init` would load forty
    for plugin in ("Avif", "Jpeg2K", "Tiff", "WebP"):
        import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF is left out of some builds


def reason(error: Exception) -> str:
    """Why a photo could not be read, in plain words."""
    for kind, words in REASONS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = IN_SOURCE.sub("", " ".join(str(error).split()))
    if "truncated" in text or "incomplete" in text:
        return "the file is cut off"
    return text or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data say nothing about the image
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return ImageCms.profileToProfile(
            image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Gray values of 16 bits, 32 bits or floating point on the scale from black 0 to white 255.

    The scale is read from the values: 0 to 1 (floating point), to 255, to 65535; images with values outside of
    these are stretched from their least to their greatest value.
    """
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite numbers")
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # in either order of bytes
        white = 65535.0
    elif low < 0 or high > 65535:
        return ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    elif values.dtype.kind == "f" and high <= 1:
        white = 1.0
    else:
        white = 255.0 if high <= 255 else 65535.0
    return np.rint(values * (255 / white)).astype(np.uint8)
