"""Which files are readable photos, found before training starts and remembered for the next time.

A file is read once: its bytes are hashed, and the photo is decoded strictly, large ones at a fraction of their size
(1 to 3 ms each for 500 x 375 pixels). What was found is kept beside the other caches until the file changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from tqdm import tqdm

from helpers.data.photos.decoding import open_photo, quiet_decoders, reason
from helpers.data.photos.sources import cores
from helpers.data.photos.strict import decode_strictly
from helpers.data.photos.values import Values
from helpers.errors import HelpersError
from helpers.files import cache_dir, write_json

PHOTO_ENDINGS = {
    *(".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
    *(".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
}
"""Endings by which a file claims to be a photo."""

STAND_IN = re.compile(r"(image|img|photo|picture).?(not.?(found|available)|unavailable|missing)|placeholder", re.I)
"""Names that websites give to the image they show in place of a missing photo."""

VERSION = 4


@dataclass(frozen=True)
class Checked:
    """What is known about a file.

    Attributes:
        size: in bytes.
        changed: time of the last change, in nanoseconds.
        digest: SHA-256 of its bytes; "" if it could not be read.
        problem: why it is no readable photo; "" if it is one.
        fingerprint: by which near copies are found, see `helpers.data.photos.copies`.
        pages: images in the file, counted for TIFF alone.
        values: of a gray image of more than 8 bits, see `helpers.data.photos.values`.
    """

    size: int
    changed: int
    digest: str
    problem: str
    fingerprint: str = ""
    pages: int = 1
    values: Values | None = None


def check_photos(files: Sequence[Path], folder: Path) -> list[Checked]:
    """Examine photo files under `folder`, or recall what was found when they were last examined."""
    record = cache_dir() / "checks" / f"{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.json"
    known = _recall(record)
    names = [file.relative_to(folder).as_posix() for file in files]
    stamps = [(known[name].size, known[name].changed) if name in known else None for name in names]
    news = {name: file for name, file, stamp in zip(names, files, stamps, strict=True) if _size_and_time(file) != stamp}
    with quiet_decoders(), ThreadPoolExecutor(cores()) as pool:
        found = pool.map(examine, news.values())
        bar = tqdm(found, "checking photos", len(news), unit="photo", disable=None, leave=False, delay=1)
        known |= zip(news, bar, strict=True)
    if news:
        _remember(record, {name: checked for name, checked in known.items() if (folder / name).exists()})
    return [known[name] for name in names]


def examine(file: Path) -> Checked:
    """What a file holds; never raises."""
    stamp, digest, problem, found = _size_and_time(file), "", "", ()
    try:
        if is_pipe(file):
            raise OSError("it is neither a file nor a folder")
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if STAND_IN.search(file.stem):
            problem = "by its name a stand-in for a photo that was not found"
        else:
            found = decode_strictly(data)
    except Exception as error:
        problem = "a link to a file that is not there" if file.is_symlink() and not file.exists() else reason(error)
    return Checked(*stamp, digest, problem, *found)


def claims_to_be_photo(file: Path) -> bool:
    """Whether a file is named like a photo, or is one under another name (a photo's bytes in `x.jpeg_large`)."""
    if file.suffix.lower() in PHOTO_ENDINGS:
        return True
    if is_pipe(file):
        return False
    try:
        with quiet_decoders(), open_photo(file):
            return True
    except Exception:
        return False


def is_pipe(file: Path) -> bool:
    """Whether reading would wait for somebody to write: a named pipe, a socket, a device."""
    return file.exists() and not (file.is_file() or file.is_dir())


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
