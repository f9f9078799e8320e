"""Where loaders find their pictures: drawn ones in memory, photos in a cache or in their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from helpers.images import read_photo
from helpers.tasks import Split
from helpers.views import resize_short_side

if TYPE_CHECKING:
    from helpers.recipes import Recipe


class Pictures(Protocol):
    """Labelled pictures whose shorter side is the recipe's `resize_size`.

    Attributes:
        labels: int64, shape (N,).
        names: what to call each picture in a message.
        in_memory: whether fetching costs no decoding.
    """

    labels: Tensor
    names: list[str]
    in_memory: bool

    def fetch(self, indices: Tensor) -> Tensor | list[Tensor]:
        """The pictures at `indices`: uint8 (B, 3, H, W) if all have one size, else a list of (3, H, W)."""
        ...


class DrawnPictures:
    """Pictures of one size, kept in memory as they were drawn."""

    in_memory = True

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.labels, self.names, self.recipe = split.labels, split.names, recipe
        self.stored = split.images.permute(0, 2, 3, 1).contiguous()

    def fetch(self, indices: Tensor) -> Tensor:
        """See `Pictures.fetch`."""
        pictures = self.stored[indices].permute(0, 3, 1, 2)
        return resize_short_side(pictures, self.recipe.resize_size, self.recipe.interpolation)


class PhotoFiles:
    """Photos that are decoded from their files whenever they are asked for."""

    in_memory = False

    def __init__(self, labels: Tensor, files: tuple[Path, ...], recipe: Recipe) -> None:
        self.labels, self.files, self.recipe = labels, files, recipe
        self.names = [str(file) for file in files]

    def fetch(self, indices: Tensor) -> list[Tensor]:
        """See `Pictures.fetch`."""
        size, interpolation = self.recipe.resize_size, self.recipe.interpolation
        return [read_photo(self.files[i], size, interpolation) for i in indices.tolist()]


def open_pictures(split: Split, recipe: Recipe, mode: str) -> Pictures:
    """The pictures of a split, ready for one recipe; `mode` as in `helpers.loaders.make_loaders`."""
    if split.images is not None:
        return DrawnPictures(split, recipe)
    return PhotoFiles(split.labels, split.files, recipe)
