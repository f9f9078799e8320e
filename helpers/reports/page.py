"""The report of a run as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment
from matplotlib import colormaps
from torch import Tensor, nn
from torchvision.io import encode_png

from helpers.data.loaders import Batches
from helpers.reports.classes import describe_outcome, figures_of, never_predicted, percent
from helpers.reports.gradcam import grad_cam
from helpers.reports.pictures import draw_confusion, draw_curves
from helpers.training.evaluation import Scores

TEMPLATE = Path(__file__).with_name("page.html")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")


def write_page(
    model: nn.Module, images: Batches, scores: Scores, classes: Sequence[str], most: int, facts: dict[str, Any]
) -> bytes:
    """The page: outcome, curves, confusion matrix, classes, mistakes with Grad-CAM, model card, settings, versions.

    Args:
        model: that gave the scores.
        images: of the split that was measured, as the model sees them.
        scores: of that split.
        classes: their names.
        most: mistakes to show.
        facts: further values of the template: summary, options, task, settings, phases.
    """
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
        mistakes=_mistakes(model, images, scores, classes, confident_mistakes(scores, most)),
        versions={name: metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
    ).encode(errors="backslashreplace")


def confident_mistakes(scores: Scores, most: int = 12) -> list[int]:
    """Indices of the wrong predictions with the highest probability, the most confident first."""
    wrong = (scores.predictions != scores.labels).nonzero()[:, 0]
    confidence = scores.logits[wrong].softmax(dim=1).amax(dim=1)
    return wrong[confidence.argsort(descending=True)][:most].tolist()


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
    return _uri(bytes(encode_png((255 * values).round().to(torch.uint8)).numpy()))


def _uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
