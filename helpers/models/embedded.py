"""The embedded backbone: a small ResNet-18 that the project pretrained itself and ships in `data/`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.files import sha256
from helpers.models.weights_files.reading import load_into, read_preprocessing, read_state_dict

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "backbone.safetensors"
"""The weights that come with the course; how they were made is in the model card beside them."""

PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), image_size=64, resize_size=64)
"""Of the images for these weights."""

WIDTHS = (32, 64, 128, 256)


def load(weights: Path | str | None) -> nn.Module:
    """Load the embedded backbone with its `preprocessing`.

    Args:
        weights: a file, "DEFAULT" for those that come with the course, or None for random ones.

    Raises:
        HelpersError: if the file is missing, broken or does not fit, or is not the one its card describes.
    """
    if weights is None:
        model = build(1000)
        model.preprocessing = PREPROCESSING
        return model
    path = _verified(WEIGHTS) if weights == "DEFAULT" else Path(weights)
    state = read_state_dict(path)
    with torch.device("meta"):  # without the random weights, which take four times as long as reading these
        model = build(len(state.get("fc.bias", ())) or 1000)
    model.to_empty(device="cpu")
    for counter in model.buffers():  # all of them are read, but for counters of batches that old files lack
        counter.zero_()
    load_into(model, state, source=path, other_head=True)
    model.preprocessing = read_preprocessing(path) or PREPROCESSING
    return model


def _verified(path: Path) -> Path:
    """The shipped weights, if they are the ones that the model card beside them was written for."""
    card = path.with_name("card.json")
    described = json.loads(card.read_text(encoding="utf-8")).get("sha256") if card.is_file() else None
    if described and sha256(path) != described:
        raise HelpersError(
            f"{path} is not the file that {card.name} beside it describes (its SHA-256 differs); restore it with "
            "`git checkout -- data`, or, if you made it yourself, pass weights=<its path>."
        )
    return path


def build(classes: int) -> nn.Module:
    """A ResNet-18 for 64-pixel images, with random weights.

    Torchvision's own network with half its channels or fewer and a 5 x 5 first convolution: 2.8 M parameters
    without the head. Attribute names are torchvision's (`conv1, bn1, layer1 .. layer4, avgpool, fc`). Each block
    starts as the identity: its last BatchNorm weight is zero (Goyal et al., *Accurate, Large Minibatch SGD*, 2017).

    Args:
        classes: outputs of the head `fc`.

    Returns:
        A network from (B, 3, S, S) float32 to (B, classes) logits; any S of 32 or more will do.
    """
    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    model.conv1 = nn.Conv2d(3, WIDTHS[0], 5, stride=2, padding=2, bias=False)
    model.bn1 = nn.BatchNorm2d(WIDTHS[0])
    before = WIDTHS[0]
    for number, width in enumerate(WIDTHS, start=1):
        model.inplanes = before
        layer = model._make_layer(BasicBlock, width, 2, stride=1 if number == 1 else 2)
        setattr(model, f"layer{number}", layer)
        before = width
    model.fc = nn.Linear(before, classes)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
    return model
