"""The most confident mistakes of a classifier, and where it looked: Grad-CAM, by captum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from matplotlib import colormaps
from torch import Tensor, nn

from helpers.data.preprocessing import Preprocessing
from helpers.models.modes import eval_mode
from helpers.models.stages import stages
from helpers.training.evaluation import Scores


@dataclass(frozen=True)
class Mistake:
    """An image that is classified wrongly.

    Attributes:
        index: in the split.
        true: its class.
        predicted: the class that it is taken for.
        probability: of that class (softmax, not calibrated).
    """

    index: int
    true: str
    predicted: str
    probability: float


def confident_mistakes(scores: Scores, classes: Sequence[str], most: int = 12) -> list[Mistake]:
    """The wrong predictions with the highest probability, the most confident first."""
    highest, predicted = scores.logits.softmax(dim=1).max(dim=1)
    wrong = (predicted != scores.labels).nonzero()[:, 0]
    wrong = wrong[highest[wrong].argsort(descending=True)][:most].tolist()
    return [Mistake(i, classes[scores.labels[i]], classes[predicted[i]], highest[i].item()) for i in wrong]


def grad_cam(model: nn.Module, images: Tensor, targets: Sequence[int]) -> np.ndarray | None:
    """Grad-CAM: how much each place of an image spoke for a class, 0 to 1.

    Source: Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks*, ICCV 2017.

    Args:
        model: a convolutional network.
        images: normalized, (B, 3, S, S).
        targets: B indices of classes.

    Returns:
        (B, S, S), or None for a network without feature maps before its head, such as a transformer.
    """
    with eval_mode(model):
        layer = _last_feature_map(model, images[:1])
        if layer is None:
            return None
        maps = LayerGradCam(model, layer).attribute(images, list(targets), relu_attributions=True)
        maps = LayerAttribution.interpolate(maps, images.shape[2:], interpolate_mode="bilinear").detach()[:, 0]
    return (maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)).cpu().numpy()


@torch.no_grad()
def _last_feature_map(model: nn.Module, image: Tensor) -> nn.Module | None:
    """The last module before the head that gives square maps (1, C, H, W) of more than one place."""
    found: list[nn.Module] = []

    def note_maps(module: nn.Module, _: tuple, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3] > 1:
            found.append(module)

    hooks = [part.register_forward_hook(note_maps) for stage in stages(model)[:-1] for part in stage.modules]
    model(image)
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None


def pixels(images: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Normalized images (B, 3, S, S) as they were before, 0 to 1, (B, S, S, 3)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images.cpu() * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A heat map (S, S) over a grayed image (S, S, 3)."""
    gray = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return 0.5 * gray + 0.5 * colormaps["jet"](heat)[..., :3]
