"""How the weights expect their images, and how the images reach them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from helpers.data.preprocessing import Preprocessing
from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell
from transfer_doctor.weights_given import names_a_file


@dataclass(frozen=True)
class Expected:
    """A preprocessing, where it comes from, and whether its size and interpolation are known or only usual."""

    preprocessing: Preprocessing
    source: str
    exact: bool


class _Seen(Exception):
    """Ends a forward pass once the backbone's input is known."""


def expected_preprocessing(case: Case) -> Expected:
    """The preprocessing of the weights.

    Raises:
        CannotTell: if neither weights nor model tell it.
    """
    if case.weights is False:
        raise CannotTell("weights=False says that nothing is pretrained, so nothing expects a normalization")
    if isinstance(case.preprocessing, Preprocessing):
        return Expected(case.preprocessing, "the preprocessing that was given", True)
    if isinstance(case.weights, Enum) and hasattr(case.weights, "transforms"):
        return Expected(Preprocessing.of(case.weights), f"{case.weights}", True)
    if isinstance(case.weights, str) and not names_a_file(case.weights):
        preprocessing = _of_timm_name(case.weights)
        if preprocessing is not None:
            return Expected(preprocessing, f"timm's {case.weights}", True)
    for module in case.model.modules():
        if isinstance(getattr(module, "preprocessing", None), Preprocessing):
            return Expected(module.preprocessing, f"the preprocessing of this {type(module).__name__}", True)
        if isinstance(getattr(module, "pretrained_cfg", None), dict) and module.pretrained_cfg.get("mean"):
            return Expected(Preprocessing.of_timm(module), "timm's configuration of this model", True)
    for module in case.model.modules():
        if type(module).__module__.startswith("torchvision.models"):
            from helpers.data.preprocessing import IMAGENET

            size = 299 if type(module).__name__ == "Inception3" else IMAGENET.image_size
            return Expected(IMAGENET.with_size(size), "torchvision's ImageNet weights", False)
    raise CannotTell("how the weights expect images is unknown; pass `weights` or a model with a preprocessing")


def as_seen(case: Case, images: torch.Tensor) -> torch.Tensor:
    """Images as they reach the backbone, after whatever the model does to them first (a normalizing layer)."""
    backbone = _backbone(case.model)
    if backbone is case.model:
        return images
    seen: list[torch.Tensor] = []

    def catch(_module: nn.Module, inputs: tuple) -> None:
        seen.append(inputs[0].detach())
        raise _Seen

    twin = case.specimen()[0].eval()
    name = next(name for name, module in case.model.named_modules() if module is backbone)
    twin.get_submodule(name).register_forward_pre_hook(catch)
    try:
        with torch.no_grad():
            case.run(twin, case.for_model(images))
    except _Seen:
        return seen[0]
    except Exception as error:  # the check `module_raises` reports it
        raise CannotTell("the model raises on a batch") from error
    return images


def _backbone(model: nn.Module) -> nn.Module:
    """The outermost known network, else the first layer that looks at pixels, else the model."""
    for module in model.modules():
        known = isinstance(getattr(module, "preprocessing", None), Preprocessing) or hasattr(module, "pretrained_cfg")
        family = type(module).__module__.startswith("torchvision.models")
        if known or (family and type(module).__name__[0].isupper() and hasattr(module, "forward") and _whole(module)):
            return module
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), model)


def _whole(module: nn.Module) -> bool:
    """Whether a torchvision module is a whole network rather than one of its blocks."""
    return any(hasattr(module, name) for name in ("fc", "classifier", "heads", "head"))


def _of_timm_name(name: str) -> Preprocessing | None:
    try:
        from timm.models import get_pretrained_cfg
    except ImportError:
        return None
    config = get_pretrained_cfg(name.removeprefix("hf_hub:").removeprefix("hf-hub:").removeprefix("timm/"))
    return None if config is None else Preprocessing.of_timm(SimpleNamespace(pretrained_cfg=config.to_dict()))


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
