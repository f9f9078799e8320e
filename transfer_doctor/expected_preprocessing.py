"""How the weights expect their images, and how the images reach them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell
from transfer_doctor.weights_given import names_a_file


@dataclass(frozen=True)
class Expected:
    """How weights expect images: resized, center-cropped, then `(image - mean) / std` of RGB in [0, 1].

    Attributes:
        mean, std: of red, green and blue, in [0, 1].
        image_size, resize_size: sides in pixels of the cropped square, and of the shorter side before.
        interpolation: the resampling filter, such as `"bilinear"`.
        source: where this is known from, in words.
        exact: whether size and interpolation are known, or only usual.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int
    resize_size: int
    interpolation: str = "bilinear"
    source: str = "torchvision's ImageNet weights"
    exact: bool = True


IMAGENET = Expected((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224, 256, exact=False)


class _InputSeen(Exception):
    """Ends a forward pass once the backbone's input is known."""


def expected_preprocessing(case: Case) -> Expected:
    """The preprocessing of the weights.

    Raises:
        CannotTell: if neither weights nor model tell it.
    """
    if case.weights is False:
        raise CannotTell("weights=False says that nothing is pretrained, so nothing expects a normalization")
    if _is_preprocessing(case.preprocessing):
        return _read(case.preprocessing, "the preprocessing that was given")
    if callable(getattr(case.weights, "transforms", None)):
        return _read(case.weights.transforms(), f"{case.weights}")
    if isinstance(case.weights, str) and not names_a_file(case.weights):
        config = _timm_configuration(case.weights)
        if config is not None:
            return _of_timm(config, f"timm's {case.weights}")
    for module in case.model.modules():
        if _is_preprocessing(getattr(module, "preprocessing", None)):
            return _read(module.preprocessing, f"the preprocessing of this {type(module).__name__}")
        config = getattr(module, "pretrained_cfg", None)
        if isinstance(config, Mapping) and config.get("mean"):
            return _of_timm(config, "timm's configuration of this model")
    for module in case.model.modules():
        if type(module).__module__.startswith("torchvision.models"):
            return replace(IMAGENET, image_size=299, resize_size=342) if _is_inception(module) else IMAGENET
    raise CannotTell("how the weights expect images is unknown; pass `weights` or a model with a preprocessing")


def as_seen(case: Case, images: torch.Tensor) -> torch.Tensor:
    """Images as they reach the backbone, after whatever the model does to them first (a normalizing layer)."""
    backbone = _backbone(case.model)
    if backbone is case.model:
        return images
    seen: list[torch.Tensor] = []

    def catch(_module: nn.Module, inputs: tuple) -> None:
        seen.append(inputs[0].detach())
        raise _InputSeen

    model_copy = case.copies()[0].eval()
    name = next(name for name, module in case.model.named_modules() if module is backbone)
    model_copy.get_submodule(name).register_forward_pre_hook(catch)
    try:
        with torch.no_grad():
            case.run(model_copy, case.for_model(images))
    except _InputSeen:
        return seen[0]
    except Exception as error:  # the check `module_raises` reports it
        raise CannotTell("the model raises on a batch") from error
    return images


def _is_preprocessing(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("mean", "std")) and (
        hasattr(value, "image_size") or hasattr(value, "crop_size")
    )


def _read(value: Any, source: str) -> Expected:
    """From an object with mean, std and sizes: a preprocessing, or the `transforms()` of torchvision weights."""
    size = _side(getattr(value, "image_size", None) or value.crop_size)
    resize = _side(getattr(value, "resize_size", size))
    interpolation = getattr(value, "interpolation", "bilinear")
    interpolation = getattr(interpolation, "value", interpolation)
    return Expected(tuple(value.mean), tuple(value.std), size, resize, interpolation, source)


def _of_timm(config: Mapping[str, Any], source: str) -> Expected:
    """From a `pretrained_cfg`; timm gives a crop ratio where torchvision gives the size to resize to."""
    size = int(config["input_size"][-1])
    resize = math.floor(size / config.get("crop_pct", 0.875))
    interpolation = config.get("interpolation") or "bicubic"
    return Expected(tuple(config["mean"]), tuple(config["std"]), size, resize, interpolation, source)


def _timm_configuration(name: str) -> Mapping[str, Any] | None:
    """What timm knows of the weights of this name, where the script has imported timm."""
    models = sys.modules.get("timm.models")
    config = models and models.get_pretrained_cfg(
        name.removeprefix("hf_hub:").removeprefix("hf-hub:").removeprefix("timm/")
    )
    return config.to_dict() if config else None


def _side(size: Any) -> int:
    return int(size if isinstance(size, (int, float)) else size[0])


def _is_inception(module: nn.Module) -> bool:
    return type(module).__name__ == "Inception3"


def _backbone(model: nn.Module) -> nn.Module:
    """The outermost known network, else the first layer that looks at pixels, else the model."""
    for module in model.modules():
        known = _is_preprocessing(getattr(module, "preprocessing", None)) or hasattr(module, "pretrained_cfg")
        family = type(module).__module__.startswith("torchvision.models")
        if known or (family and type(module).__name__[0].isupper() and hasattr(module, "forward") and _whole(module)):
            return module
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), model)


def _whole(module: nn.Module) -> bool:
    """Whether a torchvision module is a whole network rather than one of its blocks."""
    return any(hasattr(module, name) for name in ("fc", "classifier", "heads", "head"))


def transform_of(dataset: Any) -> list[Any]:
    """The single transforms of a dataset (or of the dataset that it wraps), in order."""
    for _ in range(6):
        if dataset is None:
            return []
        transform = getattr(dataset, "transform", None) or getattr(dataset, "transforms", None)
        if transform is not None:
            return list(getattr(transform, "transforms", [transform]))
        dataset = getattr(dataset, "dataset", None)
    return []
