"""Grad-CAM, by captum: where in an image a network found what speaks for a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from helpers.models.modes import eval_mode
from helpers.models.stages import stages


def grad_cam(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor | None:
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
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)


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
