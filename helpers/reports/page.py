"""The report of a run as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerAttribution, LayerGradCam
from jinja2 import Environment
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers.data.loaders import Batches
from helpers.models.modes import eval_mode
from helpers.models.stages import stages
from helpers.reports.classes import describe_outcome, figures_of, never_predicted, percent
from helpers.reports.pictures import draw_confusion, draw_curves
from helpers.training.evaluation import Scores, evaluate

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(model: nn.Module, loader: DataLoader, facts: dict[str, Any], most: int = 12) -> bytes:
    """The page: outcome, curves, confusion matrix, classes, mistakes with Grad-CAM, model card, settings, versions.

    The model is measured on the loader's split; `facts` for the template are summary, options, task, settings, phases.
    """
    scores, classes = evaluate(model, loader, precision=facts["settings"].precision), facts["task"].classes
    figures = figures_of(scores, classes)
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        facts,
        percent=percent,
        outcome=describe_outcome(figures),
        missed=never_predicted(figures),
        curves=_uri(draw_curves(facts["summary"].get("history", []))),
        confusion=_uri(draw_confusion(scores, classes)),
        classes=figures["per_class"],
        mistakes=_mistakes(model, loader.dataset, scores, classes, confident_mistakes(scores, most)),
        versions={name: metadata.version(name) for name in ("torch", "torchvision", "timm", "numpy", "pillow")},
    ).encode(errors="backslashreplace")


def confident_mistakes(scores: Scores, most: int = 12) -> list[int]:
    """Indices of the wrong predictions with the highest probability, the most confident first."""
    wrong = (scores.predictions != scores.labels).nonzero()[:, 0]
    confidence = scores.logits[wrong].softmax(dim=1).amax(dim=1)
    return wrong[confidence.argsort(descending=True)][:most].tolist()


def grad_cam(model: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor | None:
    """Grad-CAM: how much each place of B images (B, 3, S, S) spoke for a class, (B, S, S) from 0 to 1.

    None for a network without feature maps before its head, such as a transformer. Source: Selvaraju et al.,
    *Grad-CAM: Visual Explanations from Deep Networks*, ICCV 2017; the code is captum's.
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


def _mistakes(
    model: nn.Module, images: Batches, scores: Scores, classes: Sequence[str], indices: list[int]
) -> list[dict[str, Any]]:
    if not indices:
        return []
    batch, predicted = images.__getitems__(indices)[0], scores.predictions[indices].tolist()
    heat = grad_cam(model, batch.to(next(model.parameters()).device), predicted)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (images.preprocessing.mean, images.preprocessing.std))
    plain = (batch * std + mean).clamp(0, 1)
    found = []
    for place, index in enumerate(indices):
        look = {"image": _picture(plain[place]), "predicted": classes[predicted[place]]}
        if heat is not None:
            warm = torch.tensor(colormaps["jet"](heat[place].cpu().numpy())[..., :3]).permute(2, 0, 1)
            look["heat"] = _picture((plain[place].mean(dim=0) + warm) / 2)
        probability, name = scores.logits[index].softmax(dim=0).max().item(), Path(images.images.names[index])
        look |= {"true": classes[scores.labels[index]], "probability": probability, "file": "/".join(name.parts[-2:])}
        found.append(look)
    return found


def _picture(values: Tensor) -> str:
    file = io.BytesIO()
    Image.fromarray((255 * values).round().to(torch.uint8).permute(1, 2, 0).numpy()).save(file, format="PNG")
    return _uri(file.getvalue())


def _uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
