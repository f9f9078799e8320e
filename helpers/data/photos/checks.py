"""Which files are readable photos, found before training starts and remembered for the next time.

A file is read once: its bytes are hashed, its header is parsed, and its end is looked at. Only where that leaves a
doubt is the photo decoded. What was found is kept beside the other caches until the file changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from tqdm import tqdm

from helpers.data.photos.decoding import EmptyFile, decode, open_photo, quiet_decoders, reason
from helpers.errors import HelpersError
from helpers.files import cache_dir, write_json

PHOTO_ENDINGS = {
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
    *(".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
}
"""Endings by which a file claims to be a photo."""

STAND_IN = re.compile(r"(image|img|photo|picture).?(not.?(found|available)|unavailable|missing)|placeholder", re.I)
"""Names that websites give to the image they show in place of a missing photo."""

MOST_OBLONG = 50
"""Longer side over shorter side from which an image is a strip (a ruler, a tracking pixel) and no photo."""

VERSION = 1


@dataclass(frozen=True)
class Checked:
    """What is known about a file.

    Attributes:
        size: in bytes.
        changed: time of the last change, in nanoseconds.
        digest: SHA-256 of its bytes; "" if it could not be read.
        problem: why it is no readable photo; "" if it is one.
    """

    size: int
    changed: int
    digest: str
    problem: str


def check_photos(files: Sequence[Path], folder: Path) -> list[Checked]:
    """Examine photos, or recall what was found when they were last examined.

    Args:
        files: photo files under `folder`.
        folder: what the findings are kept under.
    """
    record = cache_dir() / "checks" / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.json"
    known = _recall(record)
    found, news = [], False
    with quiet_decoders():
        for file in tqdm(files, desc="checking photos", unit="photo", disable=None, leave=False, delay=1):
            name = file.relative_to(folder).as_posix()
            if name not in known or _size_and_time(file) != (known[name].size, known[name].changed):
                known[name], news = examine(file), True
            found.append(known[name])
    if news:
        _remember(record, {name: checked for name, checked in known.items() if (folder / name).exists()})
    return found


def examine(file: Path) -> Checked:
    """What a file holds; never raises."""
    stamp, digest, problem = _size_and_time(file), "", ""
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):  # a pipe, say, which would be waited for
            raise OSError("it is neither a file nor a folder")
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if STAND_IN.search(file.stem):
            problem = "by its name a stand-in for a photo that was not found"
        elif _in_doubt(data):
            decode(data, short_side=32)
    except Exception as error:
        problem = "a link to a file that is not there" if file.is_symlink() and not file.exists() else reason(error)
    return Checked(*stamp, digest, problem)


def claims_to_be_photo(file: Path) -> bool:
    """Whether a file is named like a photo, or is one under another name (a photo's bytes in `x.jpeg_large`)."""
    if file.suffix.lower() in PHOTO_ENDINGS:
        return True
    try:
        with quiet_decoders(), open_photo(file):
            return True
    except Exception:
        return False


def _in_doubt(data: bytes) -> bool:
    """Whether only decoding can tell if the photo is whole; raises if its header or a checksum is wrong."""
    if not data:
        raise EmptyFile
    with open_photo(data) as image:
        if max(image.size) > MOST_OBLONG * min(image.size):
            raise ValueError(f"it is a strip of {image.width} x {image.height} pixels")
        if image.format in ("JPEG", "MPO"):
            return not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9")  # the mark at the end of every JPEG
        if image.format == "PNG":
            image.verify()  # compares the checksum of each part
            return False
    return True


def _size_and_time(file: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds; zeros where there is no such file."""
    with suppress(OSError):
        stat = file.stat()
        return stat.st_size, stat.st_mtime_ns
    return 0, 0


def _recall(record: Path) -> dict[str, Checked]:
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        return {name: Checked(*values) for name, values in kept["files"].items()} if kept["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # nothing kept, or not by us: examine again


def _remember(record: Path, known: dict[str, Checked]) -> None:
    files = {name: astuple(checked) for name, checked in known.items()}
    with suppress(HelpersError):  # if it cannot be kept, the next run examines the photos again
        write_json(record, {"version": VERSION, "files": files})
