"""Save and load a trained model in one file, with its class names, preprocessing and what it was built from."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.weights_files.checkpoints import load_checkpoint, save_checkpoint
from helpers.models.weights_files.reading import load_into

MODEL = "model.safetensors"


@dataclass(frozen=True)
class SavedModel:
    """A model ready for use.

    Attributes:
        model: in eval mode.
        classes: what its scores stand for, in order.
        preprocessing: of its images.
        about: what else was noted when it was saved (backbone, versions, the best epoch ...).
    """

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    about: dict[str, Any]


def save_model(
    path: str | Path, model: nn.Module, classes: tuple[str, ...], preprocessing: Preprocessing, **about: Any
) -> None:
    """Save a model with all that is needed to use it, atomically.

    Args:
        path: the file, or a run folder.
        model: from `load_backbone` and `replace_head`, or any other (`load_model` then asks for its network).
        classes: names in the order of the model's scores.
        preprocessing: of its images.
        about: further facts that JSON can hold.

    Raises:
        HelpersError: if the file cannot be written; an older one then stays whole.
    """
    description = {
        "backbone": getattr(model, "backbone_name", None),
        "options": getattr(model, "backbone_options", {}),
        "head": getattr(model, "head_options", {}),
        "classes": list(classes),
        "preprocessing": preprocessing.to_dict(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        **about,
    }
    save_checkpoint(_file(path), model.state_dict(), description)


def load_model(path: str | Path, model: nn.Module | None = None) -> SavedModel:
    """Load what `save_model` wrote, or a head alone whose description names the backbone's weights.

    Args:
        path: the file, or a run folder.
        model: a network of the same shape, where it was not built by `load_backbone`.

    Raises:
        HelpersError: if the file is missing or damaged, or `model` is needed or does not fit.
    """
    path = _file(path)
    tensors, about = load_checkpoint(path, ("classes", "backbone", "head"))
    about.setdefault("preprocessing", about.pop("recipe", None))  # its name in files of the first version
    about.setdefault("options", _first_version_options(about))
    classes = tuple(about.pop("classes"))
    if model is None:
        if about["backbone"] is None:
            raise HelpersError(
                f"{path} holds a network that was built elsewhere; build it again and pass it as `model`"
            )
        backbone = load_backbone(about["backbone"], weights=about.get("backbone_weights"), **about["options"])
        model = replace_head(backbone, len(classes), **about["head"])
        if about.get("backbone_weights"):
            tensors = {**model.state_dict(), **tensors}
    load_into(model, tensors, source=path)
    model.preprocessing = Preprocessing.from_dict(about.pop("preprocessing"))
    return SavedModel(model.eval(), classes, model.preprocessing, about)


def _first_version_options(about: dict[str, Any]) -> dict[str, Any]:
    """What files of the first version leave out: how pretrained networks of these families were built."""
    name = about["backbone"] or ""
    if name in ("googlenet", "inception_v3"):
        return {"transform_input": True}
    return {"image_size": about["preprocessing"]["image_size"]} if name.startswith("vit_") else {}


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / MODEL if path.is_dir() or not path.suffix else path
