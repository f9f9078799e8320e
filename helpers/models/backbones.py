"""Pretrained networks by name: the embedded one, torchvision's classifiers, and timm's."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.files import sha256
from helpers.models.heads import remove_auxiliary_heads
from helpers.models.weights_files.official import (
    PACKAGED,
    packaged_state_dict,
    timm_state_dict,
    torchvision_state_dict,
)
from helpers.models.weights_files.reading import load_into, read_preprocessing, read_state_dict

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

_FILE_ENDINGS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt")


def load_backbone(
    name: str = "embedded", weights: str | Path | None = "DEFAULT", *, root: str | Path | None = None
) -> nn.Module:
    """A pretrained network, with its original head and the preprocessing for its images.

    Args:
        name: "embedded" (small, made by this project) or "efficientnet_lite0" (trained on ImageNet), which need no
            network; any torchvision classifier ("resnet18"), or any timm model ("timm/convnext_atto").
        weights: "DEFAULT" for the newest official weights; the name of others ("IMAGENET1K_V1", or timm's tag);
            a local weights file (.pth, .pt or .safetensors); None or "none" for random ones.
        root: where official torchvision weights lie or are downloaded to, instead of torch.hub's own folder.

    Returns:
        A network in train mode, with attributes `preprocessing` (a `Preprocessing`) and `backbone_name`. Auxiliary
        classifiers are taken away, so that it returns scores of shape (B, classes) in train mode too.

    Raises:
        HelpersError: for an unknown name, weights that do not exist or do not fit, a broken file, or no network.
    """
    if isinstance(weights, str) and weights.lower() == "none":
        weights = None
    if name == "embedded":
        model = _embedded(weights)
    elif name in PACKAGED:
        model = _efficientnet_lite(name, weights)
    elif name.startswith("timm/"):
        model = _from_timm(name.removeprefix("timm/"), weights)
    else:
        model = _from_torchvision(name, weights, Path(root) if root is not None else None)
    model.backbone_name = name
    return model


def _embedded(weights: str | Path | None) -> nn.Module:
    from helpers.models import embedded

    if weights is None:
        model = embedded.build(1000)
        model.preprocessing = embedded.PREPROCESSING
        return model
    path = _embedded_file(embedded.WEIGHTS) if weights == "DEFAULT" else weights
    state = read_state_dict(path)
    with torch.device("meta"):  # without the random weights, which take four times as long as reading these
        model = embedded.build(len(state.get("fc.bias", ())) or 1000)
    model.to_empty(device="cpu")
    for counter in model.buffers():  # all of them are read, but for counters of batches that old files lack
        counter.zero_()
    load_into(model, state, source=path)
    model.preprocessing = read_preprocessing(path) or embedded.PREPROCESSING
    return model


def _embedded_file(path: Path) -> Path:
    """The shipped weights, if they are the ones that the model card beside them was written for."""
    card = path.with_name("card.json")
    described = json.loads(card.read_text(encoding="utf-8")).get("sha256") if card.is_file() else None
    if described and sha256(path) != described:
        raise HelpersError(
            f"{path} is not the file that {card.name} beside it describes (its SHA-256 differs); restore it with "
            "`git checkout -- data`, or, if you made it yourself, pass weights=<its path>."
        )
    return path


def _efficientnet_lite(name: str, weights: str | Path | None) -> nn.Module:
    if weights != "DEFAULT":
        return _from_timm(f"tf_{name}", weights)
    model = _from_timm(f"tf_{name}", None)
    load_into(model, packaged_state_dict(name, model.state_dict()), source=name)
    return model


def _from_torchvision(name: str, weights: str | Path | None, root: Path | None) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, ["embedded", *PACKAGED, *known], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see torchvision.models.list_models()."
        raise HelpersError(
            f"there is no backbone {name!r}; {hint} Known are embedded, {', '.join(PACKAGED)}, torchvision's "
            'classifiers, and "timm/..."'
        )
    enum = models.get_model_weights(name)
    official = None if weights is None or _is_file(weights) else _member(name, enum, str(weights))
    state = None
    if official is not None:
        state = torchvision_state_dict(official, root)
    elif weights is not None:
        state = read_state_dict(weights)
    reference = official or _oldest(enum)
    auxiliary = state is not None and any(key.startswith(("AuxLogits.", "aux1.")) for key in state)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith("vit_"):  # its position embeddings are made for one size
        options = {"image_size": reference.meta["min_size"][0]}
    elif options and state is not None:
        options |= {"transform_input": True, "aux_logits": auxiliary}
    model = models.get_model(name, weights=None, **options)
    if state is not None:
        load_into(model, state, source=official or weights)
    remove_auxiliary_heads(model)
    model.preprocessing = (read_preprocessing(weights) if _is_file(weights) else None) or Preprocessing.of(reference)
    return model


def _member(name: str, enum: type[WeightsEnum], wanted: str) -> WeightsEnum:
    try:
        return enum[wanted.rpartition(".")[2]]
    except KeyError:
        raise HelpersError(
            f"{wanted!r} is neither a weights file nor weights of {name}; torchvision has "
            f"{', '.join(enum.__members__)} (or give None for random weights)."
        ) from None


def _oldest(enum: type[WeightsEnum]) -> WeightsEnum:
    """The first weights, at the usual size: what a file that names no preprocessing is taken to follow."""
    return enum["IMAGENET1K_V1"] if "IMAGENET1K_V1" in enum.__members__ else next(iter(enum))


def _is_file(weights: str | Path | None) -> bool:
    return weights is not None and (
        isinstance(weights, Path) or weights.lower().endswith(_FILE_ENDINGS) or Path(weights).is_file()
    )


def _from_timm(name: str, weights: str | Path | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise HelpersError(f'"timm/{name}" needs the package timm; install it with `pip install timm`.') from None

    from_file = _is_file(weights)
    tag = f"{name}.{weights}" if weights not in (None, "DEFAULT") and not from_file else name
    known = [*timm.list_models(), *timm.list_pretrained()]
    if tag not in known:
        near = difflib.get_close_matches(tag, known, n=3)
        hint = f"did you mean {' or '.join(f'timm/{each}' for each in near)}?" if near else "see timm.list_models()."
        raise HelpersError(f'there is no backbone "timm/{tag}"; {hint}')
    if weights is None:
        model = timm.create_model(tag)
    elif from_file:
        model = timm.create_model(tag)
        load_into(model, read_state_dict(weights), source=weights)
    else:
        state = timm_state_dict(tag)
        model = timm.create_model(tag, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
        model.pretrained_cfg.pop("state_dict")
    if model.num_classes == 0:
        model.reset_classifier(1000)
    model.preprocessing = (read_preprocessing(weights) if from_file else None) or Preprocessing.of_timm(model)
    return model
