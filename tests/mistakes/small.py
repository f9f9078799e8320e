"""Small worlds of several architectures, made in a moment, whose networks look pretrained."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.nn.functional import interpolate

from helpers.data.preprocessing import IMAGENET
from helpers.models import embedded
from tests.mistakes.worlds import World

SIZE = 32
CLASSES = ("ash", "birch", "cedar", "dogwood")


def small_world(architecture: str, family: str = "sgd", images: int = 48) -> World:
    """A world of 32-pixel images in four classes.

    Args:
        architecture: one of `ARCHITECTURES`.
        family: of the optimizer, `"sgd"` or `"adam"`.
        images: in training; validation has half as many.
    """
    rates = (1e-2, 1e-3) if family == "sgd" else (1e-3, 1e-4)
    preprocessing = IMAGENET.with_size(SIZE)
    splits = (photos(images, 0), photos(images // 2, 1))
    network = pretrained(architecture)
    network.preprocessing = preprocessing
    return World(network, *splits, CLASSES, preprocessing, family, rates)


def photos(count: int, seed: int, classes: int = len(CLASSES)) -> tuple[torch.Tensor, torch.Tensor]:
    """Colored clouds, uint8 (count, 3, 32, 32), tinted by class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    clouds = interpolate(torch.rand(count, 3, 7, 7, generator=generator), size=SIZE, mode="bicubic")
    tints = torch.rand(classes, 3, generator=torch.Generator().manual_seed(99))
    tints[:, 0] += 0.3
    clouds = 0.6 * (clouds - 0.5) * 2 + 0.5 + 0.5 * (tints[labels][:, :, None, None] - 0.6)
    return (clouds.clamp(0, 1) * 255).round().to(torch.uint8), labels


@cache
def pretrained(architecture: str) -> nn.Module:
    """A network with 1000 outputs whose weights and BatchNorm statistics look trained."""
    torch.manual_seed(0)
    return look_trained(ARCHITECTURES[architecture]())


def look_trained(model: nn.Module) -> nn.Module:
    """Make a new network look trained.

    Trained weights have heavy tails and filters of different strength, and BatchNorm knows the statistics of its
    inputs; so each weight is scaled by random factors and the network sees some images.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                size = parameter.square().mean().sqrt()
                parameter *= torch.randn(parameter.shape).mul(0.5).exp()
                parameter *= torch.randn(len(parameter), *[1] * (parameter.ndim - 1)).mul(0.4).exp()
                parameter *= size / parameter.square().mean().sqrt().clamp_min(1e-12)
            else:
                parameter += 0.05 * torch.randn(parameter.shape)
        images, _ = photos(64, 2)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std))
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for module in norms:
            module.momentum = None
        model.train()
        for _ in range(3 if norms else 0):
            model((images / 255 - mean) / std)
        for module in norms:
            module.momentum = 0.1
    return model.eval()


def _mobilenet() -> nn.Module:
    from torchvision.models import MobileNetV2

    return MobileNetV2(
        width_mult=0.35, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 64, 1, 2]]
    )


def _efficientnet() -> nn.Module:
    from torchvision.models import EfficientNet
    from torchvision.models.efficientnet import MBConvConfig

    blocks = [MBConvConfig(1, 3, 1, 32, 16, 1), MBConvConfig(4, 3, 2, 16, 24, 2), MBConvConfig(4, 5, 2, 24, 48, 2)]
    return EfficientNet(blocks, dropout=0.2)


def _squeezenet() -> nn.Module:
    from torchvision.models import squeezenet1_1

    return squeezenet1_1()


def _vgg() -> nn.Module:
    from torchvision.models import vgg

    with torch.device("meta"):
        model = vgg.vgg11()
    model.features = vgg.make_layers([16, "M", 32, "M", 64, "M"])
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    steps = [
        nn.Linear(256, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 1000),
    ]
    model.classifier = nn.Sequential(*steps)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return model


def _vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    model = VisionTransformer(image_size=SIZE, patch_size=8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128)
    nn.init.normal_(model.heads.head.weight, std=0.02)
    return model


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: embedded.build(1000),
    "mobilenet": _mobilenet,
    "efficientnet": _efficientnet,
    "squeezenet": _squeezenet,
    "vgg": _vgg,
    "vit": _vit,
}
"""Small networks of torchvision's classes: ResNet, MobileNetV2, EfficientNet, SqueezeNet, VGG, vision transformer."""
