"""Drawn images, kept for the next time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from torch import Tensor

import drawn
from helpers.data.photos.cache import stored_images
from helpers.errors import HelpersError
from helpers.files import cache_dir

Draw = Callable[[Sequence[int], int, int], Tensor]


def drawn_images(name: str, draw: Draw, labels: list[int], size: int, seed: int) -> Tensor:
    """Images as `draw` gives them, kept for the next time (drawing takes a few milliseconds an image)."""
    try:
        draw([], size, seed)
    except ValueError as error:
        raise HelpersError(str(error)) from error
    code = hashlib.sha256()
    for file in sorted(Path(drawn.__file__).parent.rglob("*.py")):
        code.update(file.read_bytes())
    key = f"{name} {len(labels)} {max(labels) + 1} {size} {seed}"
    path = cache_dir() / "images" / f"{key.replace(' ', '-')}.safetensors"
    images = cache(lambda: draw(labels, size, seed))
    try:
        stored = stored_images(path, f"{key} {code.hexdigest()}", len(labels), lambda i: images()[i])
    except HelpersError:
        return images()
    return stored.pixels.view(len(labels), size, size, 3).permute(0, 3, 1, 2).contiguous()
