"""Image transforms without chance: resize, center crop, normalize."""

import torch
from torch import Tensor
from torch.nn import functional

from helpers.data.preprocessing import Preprocessing


def resize(images: Tensor, height: int, width: int, interpolation: str = "bilinear") -> Tensor:
    """Resize uint8 images (B, 3, H, W) or (3, H, W); shrinking is antialiased, as in torchvision's presets."""
    if images.shape[-2:] == (height, width):
        return images
    # With the strides of channels_last throughout, the filter works on whole pixels and gives whole pixels.
    batch = images if images.ndim == 4 else images.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    batch = batch.contiguous(memory_format=torch.channels_last)
    smooth = interpolation in ("bilinear", "bicubic")
    resized = functional.interpolate(batch, size=(height, width), mode=interpolation, antialias=smooth)
    return resized if images.ndim == 4 else resized[0]


def resize_short_side(images: Tensor, side: int, interpolation: str = "bilinear") -> Tensor:
    """Resize images so that the shorter side has `side` pixels, rounding the longer one as torchvision's `Resize`."""
    height, width = images.shape[-2:]
    if height <= width:
        return resize(images, side, int(side * width / height), interpolation)
    return resize(images, int(side * height / width), side, interpolation)


def resize_as(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resize uint8 images (B, 3, H, W) or (3, H, W) by the `resize` of a preprocessing.

    "crop": the shorter side becomes `resize_size`, and the ends of the longer one are cropped later. "squash": both
    sides do, whatever the shape. "pad": the longer side does, and borders of the mean color make it a square.
    """
    side, interpolation = preprocessing.resize_size, preprocessing.interpolation
    if preprocessing.resize == "crop":
        return resize_short_side(images, side, interpolation)
    if preprocessing.resize == "squash":
        return resize(images, side, side, interpolation)
    height, width = (max(1, round(side * length / max(images.shape[-2:]))) for length in images.shape[-2:])
    color = torch.tensor([round(255 * mean) for mean in preprocessing.mean], dtype=torch.uint8)
    square = color[:, None, None].repeat(*images.shape[:-3], 1, side, side)
    top, left = (side - height) // 2, (side - width) // 2
    square[..., top : top + height, left : left + width] = resize(images, height, width, interpolation)
    return square


def center_crop(images: Tensor | list[Tensor], size: int) -> Tensor:
    """Crop the central square of each image, where torchvision's `CenterCrop` does.

    Args:
        images: (B, 3, H, W), or a list of (3, H, W); H and W at least `size`.
        size: S, the side of the square in pixels.

    Returns:
        (B, 3, S, S).
    """
    if isinstance(images, Tensor):
        return images[_center(*images.shape[-2:], size)]
    crops = empty_batch(len(images), size)
    for crop, image in zip(crops, images, strict=True):
        crop.copy_(image[_center(*image.shape[-2:], size)])
    return crops


def _center(height: int, width: int, size: int) -> tuple[object, slice, slice]:
    top, left = round((height - size) / 2), round((width - size) / 2)
    return ..., slice(top, top + size), slice(left, left + size)


def empty_batch(images: int, size: int) -> Tensor:
    """Allocate uint8 images (B, 3, size, size) with the strides of channels_last."""
    return torch.empty((images, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalize images: `(image / 255 - mean) / std`.

    Args:
        images: uint8 in [0, 255] or float in [0, 1], shape (B, 3, S, S).
        preprocessing: gives mean and standard deviation of red, green and blue.

    Returns:
        float32 (B, 3, S, S), channels_last.
    """
    whole = 255.0 if images.dtype == torch.uint8 else 1.0
    batch, _, height, width = images.shape
    # Whole rows of pixels at once: a vector of three would be broadcast slowly over the innermost dimension.
    scale = torch.tensor([1 / (whole * std) for std in preprocessing.std]).repeat(width)
    shift = torch.tensor([-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)])
    rows = images.permute(0, 2, 3, 1).reshape(batch, height, width * 3)
    rows = rows.to(torch.float32, copy=True).mul_(scale).add_(shift.repeat(width))
    return rows.view(batch, height, width, 3).permute(0, 3, 1, 2)
