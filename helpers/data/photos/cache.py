"""Decoded images in one memory-mapped file: made once, checked whenever it is opened, never half there.

The file holds the pixels of all images one after the other (rows of red, green, blue), then a table in JSON with
their sizes and checksums, then 16 bytes: the table's length, its checksum, and a mark. The operating system loads the
pages that are asked for and lets go of them when memory is short: memory does not grow with the number of photos.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from helpers.errors import HelpersError, warn
from helpers.files import atomic_write

FOOTER = struct.Struct("<QI4s")
MARK = b"tlc1"

ROOM = 20 * 2**30
"""Bytes that all caches in one folder may take together."""

_verified: dict[Path, tuple[int, int]] = {}
"""Size and time of change of the files that this process has checked already."""


class StoredPictures:
    """Images of any size in one flat uint8 tensor.

    Attributes:
        pixels: all images, uint8, flat.
        sizes: height and width of each image.
        checksums: CRC-32 of each image's pixels.
    """

    def __init__(self, pixels: Tensor, sizes: list[tuple[int, int]], checksums: list[int]) -> None:
        self.pixels, self.sizes, self.checksums = pixels, sizes, checksums
        self.offsets = list(accumulate((3 * height * width for height, width in sizes), initial=0))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> Tensor:
        """Image `i`, uint8 (3, H, W), as a view into the file: copy it before you change it."""
        pixels = self.pixels[self.offsets[i] : self.offsets[i + 1]]
        return pixels.view(*self.sizes[i], 3).permute(2, 0, 1)

    def is_whole(self) -> bool:
        """Whether every image still has the checksum that it was stored with."""
        return all(
            zlib.crc32(self.pixels[start:end].numpy()) == checksum
            for start, end, checksum in zip(self.offsets[:-1], self.offsets[1:], self.checksums, strict=True)
        )


class _Table(NamedTuple):
    signature: str
    sizes: list[tuple[int, int]]
    checksums: list[int]


def stored_images(
    path: Path, signature: str, count: int, make: Callable[[int], Tensor], threads: int = 1
) -> StoredPictures:
    """The images kept in `path`, made now if they are not there, were made from something else, or are damaged.

    Args:
        path: the cache file.
        signature: what the images were made from; another signature, another file.
        count: how many images.
        make: gives image `i` as uint8 (3, H, W).
        threads: how many images to make at a time.

    Raises:
        HelpersError: if images cannot be made (all of them are named) or the file cannot be written.
    """
    from filelock import FileLock

    stored = _open(path, signature)
    if stored is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.with_suffix(".lock")
            with FileLock(lock):  # of several processes one does the work
                stored = _open(path, signature) or _build(path, signature, count, make, threads)
            lock.unlink(missing_ok=True)
        except OSError as error:
            raise HelpersError(
                f"{path} could not be written ({error.strerror}); set HELPERS_CACHE elsewhere."
            ) from error
    return stored


def _open(path: Path, signature: str) -> StoredPictures | None:
    """The images in a file, or None if it is not there, was made from something else, or is damaged."""
    try:
        table, end = _read_table(path)
        stamp = (path.stat().st_size, path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        warn(f"{path} is damaged and is made anew.")
        return None
    if table.signature != signature:
        return None
    pixels = torch.from_file(str(path), shared=False, size=end, dtype=torch.uint8)
    stored = StoredPictures(pixels, table.sizes, table.checksums)
    if stored.offsets[-1] != end or (_verified.get(path) != stamp and not stored.is_whole()):
        warn(f"{path} is damaged and is made anew.")
        return None
    _verified[path] = stamp
    with suppress(OSError):  # used just now; many systems do not note it
        os.utime(path, ns=(time.time_ns(), stamp[1]))
    return stored


def _read_table(path: Path) -> tuple[_Table, int]:
    """The table at the end of the file, and where the pixels end."""
    with open(path, "rb") as file:
        end = file.seek(-FOOTER.size, 2)
        length, checksum, mark = FOOTER.unpack(file.read())
        start = file.seek(end - length)
        text = file.read(length)
    if mark != MARK or zlib.crc32(text) != checksum:
        raise ValueError("not an image cache, or damaged")
    table = json.loads(text)
    return _Table(table["signature"], [(h, w) for h, w in table["sizes"]], table["checksums"]), start


def _build(path: Path, signature: str, count: int, make: Callable[[int], Tensor], threads: int) -> StoredPictures:
    def write(file: BinaryIO) -> None:
        table, problems = _Table(signature, [], []), []
        for future in _made(count, make, threads):
            try:
                image = future.result()
            except HelpersError as error:
                problems.append(str(error))
                continue
            pixels = image.permute(1, 2, 0).contiguous().numpy()
            table.sizes.append(pixels.shape[:2])
            table.checksums.append(zlib.crc32(pixels))
            file.write(pixels.data)
        if problems:
            raise HelpersError("\n".join([f"{len(problems)} of {count} images cannot be used:", *problems]))
        text = json.dumps(table._asdict()).encode()
        file.write(text + FOOTER.pack(len(text), zlib.crc32(text), MARK))

    atomic_write(path, write)
    _verified[path] = (path.stat().st_size, path.stat().st_mtime_ns)
    _make_room(path)
    return _open(path, signature)


def _make_room(path: Path) -> None:
    """Remove the caches that lay unused for longest, until all together keep to `ROOM`."""
    caches = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda cache: cache.stat().st_atime)
    taken = sum(cache.stat().st_size for cache in caches)
    for cache in caches:
        if taken > ROOM and cache != path:
            taken -= cache.stat().st_size
            cache.unlink()


def _made(count: int, make: Callable[[int], Tensor], threads: int) -> Iterator[Future[Tensor]]:
    """The images in order, made a few ahead of the one that is asked for."""
    from tqdm import tqdm

    ahead: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for i in tqdm(range(count), desc="decoding photos", unit="photo", disable=None, leave=False, delay=1):
            ahead.append(pool.submit(make, i))
            if len(ahead) > 4 * threads:
                yield ahead.popleft()
        yield from ahead
