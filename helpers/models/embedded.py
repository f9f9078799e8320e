"""The embedded backbone: a small ResNet-18 that the project pretrained itself and ships in `data/`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from helpers.data.preprocessing import Preprocessing

WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "backbone.safetensors"
"""The weights that come with the course; how they were made is in the model card beside them."""

PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), image_size=64, resize_size=64)
"""How the weights expect their images."""

WIDTHS = (32, 64, 128, 256)


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
    from torchvision.models.resnet import BasicBlock, ResNet

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
