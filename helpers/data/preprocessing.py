"""Preprocessing: the size, resampling and normalization of the images that a set of weights was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from helpers.errors import HelpersError


@dataclass(frozen=True)
class Preprocessing:
    """How weights expect images: resized, center-cropped, then `(image - mean) / std` of RGB in [0, 1].

    Attributes:
        mean: of red, green and blue, in [0, 1].
        std: of red, green and blue, in (0, 1].
        image_size: side of the square that the network sees, in pixels.
        resize_size: length of the image's shorter side before that square is cropped, in pixels.
        interpolation: the resampling filter, named as in `torchvision.transforms.InterpolationMode`.
        resize: what happens to oblong images, "crop", "squash" or "pad"; see `helpers.data.transforms.resize_as`.
        value_range: which values are black and white in gray images of more than 8 bits; None: see `Task`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    resize_size: int
    interpolation: str = "bilinear"
    resize: str = "crop"
    value_range: tuple[float, float] | None = None

    @classmethod
    def of(cls, weights: Any) -> Preprocessing:
        """The preprocessing of torchvision weights.

        Args:
            weights: a member of a weights enum, such as `ResNet18_Weights.DEFAULT`; its `.transforms()` are read.
        """
        preset = weights.transforms()
        return cls(
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            image_size=preset.crop_size[0],
            resize_size=preset.resize_size[0],
            interpolation=preset.interpolation.value,
        )

    @classmethod
    def of_timm(cls, model: nn.Module) -> Preprocessing:
        """The preprocessing of a timm model, read from its `pretrained_cfg`.

        timm gives a crop ratio (`crop_pct`) where torchvision gives the size to resize to.
        """
        config = model.pretrained_cfg
        size = config["input_size"][-1]
        return cls(
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            image_size=size,
            resize_size=math.floor(size / config["crop_pct"]),
            interpolation=config["interpolation"],
            resize={"squash": "squash", "border": "pad"}.get(config.get("crop_mode"), "crop"),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_dict` wrote.

        Raises:
            HelpersError: if `values` lacks a field, has one too many, or one that makes no sense.
        """
        try:
            read = cls(**values)
            mean, std = tuple(map(float, read.mean)), tuple(map(float, read.std))
            if not (len(mean) == len(std) == 3 and min(std) > 0):
                raise ValueError("mean and std must be three numbers each, those of std above 0")
            black_white = None if read.value_range is None else tuple(map(float, read.value_range))
            return replace(read, mean=mean, std=std, value_range=black_white)
        except (TypeError, ValueError) as error:
            raise HelpersError(
                f"{values} is not a preprocessing ({error}); it needs mean, std, image_size and resize_size."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def with_resize(self, resize: str) -> Preprocessing:
        """The same preprocessing with "crop", or with "squash" or "pad", by which the network sees the whole image."""
        if resize not in ("crop", "squash", "pad"):
            raise HelpersError(f"resize is {resize!r}; choose 'crop', 'squash' or 'pad'.")
        return replace(self, resize=resize, resize_size=self.resize_size if resize == "crop" else self.image_size)

    def for_values(self, value_range: tuple[float, float] | None) -> Preprocessing:
        """The same preprocessing with a range of values, unless it has one already (that of the training photos)."""
        return replace(self, value_range=self.value_range or value_range)

    def with_size(self, pixels: int) -> Preprocessing:
        """The same preprocessing for another `image_size`; the cropped part of the image stays the same.

        Raises:
            HelpersError: if `pixels` is not positive.
        """
        if pixels < 1:
            raise HelpersError(f"an image size of {pixels} pixels is no size; give at least 1.")
        return replace(self, image_size=pixels, resize_size=round(pixels * self.resize_size / self.image_size))


IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), image_size=224, resize_size=256)
"""What nearly all of torchvision's ImageNet weights expect."""
