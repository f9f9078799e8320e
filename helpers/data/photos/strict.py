"""Strict decoding: damage within a photo that decoders otherwise pass over in silence, patching it with gray."""

from __future__ import annotations

import re

import simplejpeg
from PIL import Image

from helpers.data.photos.copies import fingerprint
from helpers.data.photos.decoding import EmptyFile, open_photo, shown, upright
from helpers.data.photos.values import Values, is_deep, values_of

MOST_OBLONG = 50
"""Longer side over shorter side from which an image is a strip (a ruler, a tracking pixel) and no photo."""

DAMAGE = re.compile(
    r"^(?!.*\b1?\d extraneous bytes before marker 0xd9).*(corrupt|premature|inconsistent|invalid)", re.I
)
"""What libjpeg says where it patches something over; some cameras fill up the end with a few bytes."""

COMPRESSED = {"WEBP": b"VP8 ", "AVIF": b"mdat", "JPEG2000": b"jp2c"}
"""Where the pixels begin in formats whose decoders report no damage; compressed data hold no long run of zeros."""


def decode_strictly(data: bytes) -> tuple[str, int, Values | None]:
    """Decode all of a photo, and raise where its decoder reports damage or must have patched it over (see `reason`).

    Gives its `fingerprint`, how many pages it has (TIFF), and its values if it is gray with more than 8 bits.
    """
    if not data:
        raise EmptyFile
    with open_photo(data) as image:
        if max(image.size) > MOST_OBLONG * min(image.size):
            raise ValueError(f"it is a strip of {image.width} x {image.height} pixels")
        if image.format in ("JPEG", "MPO"):
            return fingerprint(_strict_jpeg(image, data)), 1, None
        if image.format == "PNG":
            with open_photo(data) as other:
                other.verify()  # compares the checksum of each part
        image.load()
        _refuse_zeros(image, data)
        values = values_of(image) if is_deep(image) else None
        pages = image.n_frames if image.format == "TIFF" else 1
        return fingerprint(shown(image, values and values[:2])), pages, values


def _strict_jpeg(image: Image.Image, data: bytes) -> Image.Image:
    """Decode a JPEG at a fraction of its size, which reads every byte of it."""
    space = {"L": "GRAY", "CMYK": "CMYK"}.get(image.mode, "RGB")
    try:
        pixels = simplejpeg.decode_jpeg(data, space, strict=True, min_height=64, min_width=64)
    except ValueError as error:
        if DAMAGE.search(str(error)):
            raise
        return upright(image).convert("RGB")  # a kind that only Pillow decodes, or a harmless remark
    small = Image.fromarray(pixels[..., 0] if space == "GRAY" else pixels, image.mode)
    small.info["exif"] = image.info.get("exif", b"")
    return upright(small).convert("RGB")


def _refuse_zeros(image: Image.Image, data: bytes) -> None:
    """Find a part that was overwritten by zeros; a blank area takes fewer than a byte for 4096 pixels."""
    start = data.find(COMPRESSED.get(image.format, data + b"."))
    longest = max(map(len, re.findall(rb"\0{64,}", data[start:])), default=0) if start >= 0 else 0
    if longest > 64 + image.width * image.height / 2048:
        raise ValueError(f"{longest} bytes within it were overwritten by zeros")
