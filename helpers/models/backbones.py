"""Pretrained networks by name: the embedded one, EfficientNet-Lite, torchvision's classifiers, and timm's."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.models import embedded, timm_backbones
from helpers.models.heads import remove_auxiliary_heads
from helpers.models.weights_files.official import PACKAGED, known_weights, torchvision_state_dict
from helpers.models.weights_files.reading import digest, load_into, read_preprocessing, read_state_dict

# Their gradient needs their input, so that autograd copies it before they overwrite it: a tenth of a training step.
_COPIED_IN_PLACE = (nn.Hardtanh, nn.SiLU, nn.Hardswish)
_FILE_ENDINGS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt")


def load_backbone(
    name: str = "embedded",
    weights: str | Path | None = "DEFAULT",
    *,
    root: str | Path | None = None,
    **options: Any,
) -> nn.Module:
    """Load a pretrained network, with its original head and the preprocessing for its images.

    Args:
        name: "embedded" (small, made by this project) or "efficientnet_lite0" (trained on ImageNet), which need no
            network connection; any torchvision classifier ("resnet18"); any timm model ("timm/convnext_atto").
        weights: "DEFAULT" for the newest official weights; the name of others ("IMAGENET1K_V1", or timm's tag);
            a local weights file (.pth, .pt or .safetensors); None or "none" for random ones.
        root: where official torchvision weights lie or are downloaded to, instead of torch.hub's own folder.
        options: how torchvision or timm builds the network, in numbers and strings (`image_size=384` for a
            torchvision ViT, `img_size=384` for timm's).

    Returns:
        A network in train mode, with attributes `preprocessing` (a `Preprocessing`), and `backbone_name` and
        `backbone_options`, from which it can be built again. Auxiliary classifiers are removed, so that it returns
        scores of shape (B, classes) in train mode too.

    Raises:
        HelpersError: for an unknown name, weights that do not exist or do not fit, a broken file, no network
            connection, or options that could not be saved with the trained model.
    """
    try:
        json.dumps(options)
    except TypeError as error:
        raise HelpersError(
            f"{name} cannot be built from {options} and saved later ({error}); give numbers and strings, or build the "
            "network yourself."
        ) from error
    wanted = _parse(weights)
    if name == "embedded":
        model = embedded.load(wanted, **options)
    elif name in PACKAGED or name.startswith("timm/"):
        model = timm_backbones.load(name, wanted, options)
    else:
        model = _load_torchvision(name, wanted, root, options)
    for module in model.modules():
        if isinstance(module, _COPIED_IN_PLACE):
            module.inplace = False
    model.backbone_name, model.backbone_options = name, options
    model.weights_digest = None if wanted is None else digest(model)
    size = options.get("image_size", options.get("img_size"))
    if size is not None:
        model.preprocessing = model.preprocessing.with_size(size)
    return model


def _parse(weights: str | Path | None) -> Path | str | None:
    """What `weights` asks for: a file as a Path, published weights by name as a str, random ones as None."""
    if weights is None or str(weights).lower() == "none":
        return None
    path = Path(weights)
    is_file = isinstance(weights, Path) or path.suffix.lower() in _FILE_ENDINGS or path.is_file()
    return path if is_file else weights


def _load_torchvision(
    name: str, weights: Path | str | None, root: str | Path | None, options: dict[str, Any]
) -> nn.Module:
    """Build one of torchvision's classifiers; what its weights need goes into `options` as well."""
    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, ["embedded", *PACKAGED, *known], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see torchvision.models.list_models()."
        raise HelpersError(
            f"there is no backbone {name!r}; {hint} Known are embedded, {', '.join(PACKAGED)}, torchvision's "
            'classifiers, and "timm/..."'
        )
    published = models.get_model_weights(name)
    reference = next(iter(published))  # the first weights, at the usual size: files without a preprocessing follow it
    state = None
    if isinstance(weights, Path):
        state, reference = read_state_dict(weights), known_weights(published, weights) or reference
    elif weights is not None:
        reference = _member(name, published, weights)
        state = torchvision_state_dict(reference, root)
    extra = {}
    if name in ("googlenet", "inception_v3"):
        options.setdefault("transform_input", state is not None)
        auxiliary = any(key.startswith(("AuxLogits.", "aux1.")) for key in state or ())
        extra = {"init_weights": False, "aux_logits": auxiliary}
    elif name.startswith("vit_"):  # its position embeddings are made for one size
        options.setdefault("image_size", reference.meta["min_size"][0])
    model = models.get_model(name, weights=None, **extra, **options)
    if state is not None:
        local = isinstance(weights, Path)
        load_into(model, state, source=weights if local else reference, other_head=local)
    remove_auxiliary_heads(model)
    own = read_preprocessing(weights) if isinstance(weights, Path) else None
    model.preprocessing = own or Preprocessing.of(reference)
    return model


def _member(name: str, published: type[models.WeightsEnum], wanted: str) -> models.WeightsEnum:
    try:
        return published[wanted.rpartition(".")[2]]
    except KeyError:
        raise HelpersError(
            f"{wanted!r} is neither a weights file nor weights of {name}; torchvision has "
            f"{', '.join(published.__members__)} (or give None for random weights)."
        ) from None
