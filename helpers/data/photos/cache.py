"""The cache of decoded images: one memory-mapped safetensors file per split, never half there, checked when opened.

The file holds one flat tensor with the pixels of all images, one image after the other (rows of red, green, blue); its
metadata hold their sizes and a checksum. The operating system loads the pages that are asked for and lets go of them
when memory is short, so memory does not grow with the number of photos.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from helpers.errors import HelpersError, warn
from helpers.files import atomic_write

ROOM = 20 * 2**30
"""Bytes that all caches in one folder may take together."""


VERSION = 2
"""Of the file and of how photos are decoded."""


class StoredImages:
    """Images of any size in one flat uint8 tensor.

    Attributes:
        signature: what they were made from.
        pixels: all images, uint8, flat.
        sizes: height and width of each image.
        checksum: CRC-32 of all pixels.
    """

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            self.pixels: Tensor = file.get_tensor("pixels")
        self.signature, self.sizes = about["signature"], json.loads(about["sizes"])
        self.checksum = int(about.get("checksum", 0))
        self.offsets = list(accumulate((3 * height * width for height, width in self.sizes), initial=0))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> Tensor:
        """Image `i`, uint8 (3, H, W), as a view into the file: copy it before you change it."""
        return self.pixels[self.offsets[i] : self.offsets[i + 1]].view(*self.sizes[i], 3).permute(2, 0, 1)

    def is_whole(self) -> bool:
        """Whether the pixels still have the checksum that they were stored with."""
        return self.offsets[-1] == len(self.pixels) and zlib.crc32(self.pixels.numpy()) == self.checksum


def stored_images(
    path: Path, signature: str, count: int, make: Callable[[int], Tensor], threads: int = 1
) -> StoredImages:
    """Open the images kept in `path`; make them if they are not there, come from something else, or are damaged.

    Args:
        path: the cache file.
        signature: what the images were made from; another signature, another file.
        count: how many images.
        make: gives image `i` as uint8 (3, H, W).
        threads: how many images to make at a time.

    Raises:
        HelpersError: if images cannot be made (all of them are named) or the file cannot be written.
    """
    signature = f"{VERSION} {signature}"
    stored = _open(path, signature)
    if stored is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.with_suffix(".lock")
            with FileLock(lock):  # of several processes one does the work
                if _open(path, signature) is None:
                    atomic_write(path, lambda file: _write(file, signature, count, _made(count, make, threads)))
                    _make_room(path)
                stored = _open(path, signature)
            lock.unlink(missing_ok=True)
        except OSError as error:
            said = f"{path} could not be written ({error.strerror}); set HELPERS_CACHE elsewhere."
            raise HelpersError(said) from error
    return stored


def _open(path: Path, signature: str) -> StoredImages | None:
    """The images in a file, or None if it is not there, was made from something else, or is damaged."""
    try:
        stat = path.stat()
        stored = StoredImages(path)
        if stored.signature != signature:
            return None
        if not _is_whole(path, stat.st_size, stat.st_mtime_ns):
            raise ValueError("not what was written")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        warn(f"{path} is damaged and is made anew.")
        return None
    with suppress(OSError):  # used just now; many systems do not note it
        os.utime(path, ns=(time.time_ns(), stat.st_mtime_ns))
    return stored


@cache
def _is_whole(path: Path, size: int, changed: int) -> bool:
    """Compare a file's checksum, once as long as its size and time of change stay."""
    return StoredImages(path).is_whole()


def _write(file: BinaryIO, signature: str, count: int, images: Iterator[Future[Tensor]]) -> None:
    """Write a safetensors file image by image; its header, for which room is left, comes last."""
    room = 1024 + 64 * count
    file.seek(8 + room)
    sizes, checksum, problems = [], 0, []
    for image in images:
        try:
            pixels = image.result().permute(1, 2, 0).contiguous().numpy()
        except HelpersError as error:
            problems.append(str(error))
            continue
        sizes.append(pixels.shape[:2])
        checksum = zlib.crc32(pixels, checksum)
        file.write(pixels.data)
    if problems:
        raise HelpersError("\n".join([f"{len(problems)} of {count} images cannot be used:", *problems]))
    length = file.tell() - 8 - room
    about = {"signature": signature, "sizes": json.dumps(sizes), "checksum": str(checksum)}
    header = {"__metadata__": about, "pixels": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}
    file.seek(0)
    file.write(room.to_bytes(8, "little") + json.dumps(header).encode().ljust(room))


def _make_room(path: Path) -> None:
    """Remove the caches that lay unused for longest, until all together keep to `ROOM`."""
    files = [file for file in path.parent.iterdir() if file.suffix == path.suffix]
    taken = sum(file.stat().st_size for file in files)
    for file in sorted(files, key=lambda file: file.stat().st_atime):
        if taken > ROOM and file != path:
            taken -= file.stat().st_size
            file.unlink()


def _made(count: int, make: Callable[[int], Tensor], threads: int) -> Iterator[Future[Tensor]]:
    """The images in order, made a few ahead of the one that is asked for."""
    ahead: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for i in tqdm(range(count), desc="decoding photos", unit="photo", disable=None, leave=False, delay=1):
            ahead.append(pool.submit(make, i))
            if len(ahead) > 4 * threads:
                yield ahead.popleft()
        yield from ahead
