"""How a set of weights expects its images: size, resampling, and normalization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from helpers.errors import HelpersError

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum


@dataclass(frozen=True)
class Preprocessing:
    """How weights expect images: RGB in [0, 1], minus `mean`, over `std`, cropped from the middle.

    Attributes:
        mean: of red, green and blue, in [0, 1].
        std: of red, green and blue, in (0, 1].
        image_size: side of the square that the network sees, in pixels.
        resize_size: length of the image's shorter side before that square is cropped, in pixels.
        interpolation: the resampling filter's name, as in `torchvision.transforms.InterpolationMode`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    resize_size: int
    interpolation: str = "bilinear"

    @classmethod
    def of(cls, weights: WeightsEnum) -> Preprocessing:
        """The preprocessing of a torchvision weights enum member, read from its `.transforms()`."""
        return cls._of_preset(weights.transforms())

    @classmethod
    def of_timm(cls, model: nn.Module) -> Preprocessing:
        """The preprocessing of a timm model, read from its `pretrained_cfg`.

        timm gives a crop ratio (`crop_pct`) where torchvision gives the size to resize to.
        """
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(model)
        size = config["input_size"][-1]
        return cls(
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            image_size=size,
            resize_size=math.floor(size / config["crop_pct"]),
            interpolation=config["interpolation"],
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_dict` wrote.

        Raises:
            HelpersError: if `values` lacks a field, has one too many, or one that makes no sense.
        """
        try:
            preprocessing = cls(**values)
            mean, std = (tuple(map(float, numbers)) for numbers in (preprocessing.mean, preprocessing.std))
            if not (len(mean) == len(std) == 3 and all(value > 0 for value in std)):
                raise ValueError("mean and std must be three numbers each, those of std above 0")
            return cls(
                mean, std, int(preprocessing.image_size), int(preprocessing.resize_size), preprocessing.interpolation
            )
        except (TypeError, ValueError) as error:
            raise HelpersError(
                f"{values} is not a preprocessing ({error}); it needs mean, std, image_size and resize_size."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    def with_size(self, pixels: int) -> Preprocessing:
        """The same preprocessing for images of another size; the cropped share of the image stays the same.

        Raises:
            HelpersError: if `pixels` is not positive.
        """
        if pixels < 1:
            raise HelpersError(f"an image size of {pixels} pixels is no size; give at least 1.")
        resize = round(pixels * self.resize_size / self.image_size)
        return Preprocessing(self.mean, self.std, pixels, resize, self.interpolation)

    @classmethod
    def _of_preset(cls, preset: Any) -> Preprocessing:
        return cls(
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            image_size=preset.crop_size[0],
            resize_size=preset.resize_size[0],
            interpolation=preset.interpolation.value,
        )


def __getattr__(name: str) -> Preprocessing:
    """`IMAGENET`: torchvision's usual preset, read when first asked for, since torchvision is slow to import."""
    if name != "IMAGENET":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from torchvision.transforms._presets import ImageClassification

    globals()["IMAGENET"] = Preprocessing._of_preset(ImageClassification(crop_size=224))
    return globals()["IMAGENET"]
