"""From uint8 images to what a network takes: resized, cut in the center, normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from helpers.data.preprocessing import Preprocessing

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "nearest-exact")
"""The resampling filters that a preprocessing may name."""


def resize(images: Tensor, height: int, width: int, interpolation: str = "bilinear") -> Tensor:
    """Images (B, 3, H, W) or (3, H, W), uint8, at another size; shrinking is antialiased, as in the presets."""
    if images.shape[-2:] == (height, width):
        return images
    # With the strides of channels_last throughout, the filter works on whole pixels and gives whole pixels.
    batch = images if images.ndim == 4 else images.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    batch = batch.contiguous(memory_format=torch.channels_last)
    smooth = interpolation in ("bilinear", "bicubic")
    resized = functional.interpolate(batch, size=(height, width), mode=interpolation, antialias=smooth)
    return resized if images.ndim == 4 else resized[0]


def resize_short_side(images: Tensor, side: int, interpolation: str = "bilinear") -> Tensor:
    """Images whose shorter side has `side` pixels and whose shape is kept, as torchvision's `Resize` rounds it."""
    return resize(images, *short_side_size(*images.shape[-2:], side), interpolation)


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width once the shorter of them is `side`."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def center_view(images: Tensor | list[Tensor], preprocessing: Preprocessing) -> Tensor:
    """The central square of each image, uint8 (B, 3, S, S) with S = `preprocessing.image_size`.

    Args:
        images: uint8 (B, 3, H, W), or a list of (3, H, W), with the shorter side at `preprocessing.resize_size`.
        preprocessing: gives S.
    """
    size = preprocessing.image_size
    if isinstance(images, Tensor):
        return images[center(*images.shape[-2:], size)]
    views = empty_batch(len(images), size)
    for view, image in zip(views, images, strict=True):
        view.copy_(image[center(*image.shape[-2:], size)])
    return views


def center(height: int, width: int, size: int) -> tuple[object, slice, slice]:
    """The index of the central square, placed as torchvision's `CenterCrop` places it."""
    top, left = round((height - size) / 2), round((width - size) / 2)
    return ..., slice(top, top + size), slice(left, left + size)


def empty_batch(images: int, size: int) -> Tensor:
    """Room for uint8 images (B, 3, size, size), stored color by color within a pixel (channels_last)."""
    return torch.empty((images, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Images as the weights expect them: float32 (B, 3, S, S), `(image / 255 - mean) / std`, channels_last.

    Args:
        images: uint8 in [0, 255] or float in [0, 1], shape (B, 3, S, S).
        preprocessing: gives mean and standard deviation of red, green and blue.
    """
    whole = 255.0 if images.dtype == torch.uint8 else 1.0
    batch, _, height, width = images.shape
    # Whole rows of pixels at once: a vector of three would be broadcast slowly over the innermost dimension.
    scale = torch.tensor([1 / (whole * std) for std in preprocessing.std]).repeat(width)
    shift = torch.tensor([-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)]).repeat(
        width
    )
    rows = images.permute(0, 2, 3, 1).reshape(batch, height, width * 3)
    rows = rows.to(torch.float32, copy=True).mul_(scale).add_(shift)
    return rows.view(batch, height, width, 3).permute(0, 3, 1, 2)
