"""The report of a run as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image
from torch import nn

from helpers.data.loaders import Batches
from helpers.reports.classes import class_figures, describe_outcome, never_predicted, outcome, percent
from helpers.reports.mistakes import confident_mistakes, grad_cam, overlaid, pixels
from helpers.reports.pictures import draw_confusion, draw_curves, png
from helpers.training.evaluation import Scores

TEMPLATE = Path(__file__).with_name("page.html")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")


def write_page(
    model: nn.Module,
    images: Batches,
    scores: Scores,
    classes: Sequence[str],
    rows: Sequence[dict[str, Any]],
    facts: dict[str, Any],
    most: int = 12,
) -> bytes:
    """The page: outcome, curves, confusion matrix, classes, mistakes with Grad-CAM, model card, settings, versions.

    Args:
        model: that gave the scores.
        images: of the split that was measured, as the model sees them.
        scores: of that split.
        classes: their names.
        rows: of the run's history.
        facts: further values of the template: name, part, card, settings, phases.
        most: mistakes to show.
    """
    figures = class_figures(scores, classes)
    mistakes = confident_mistakes(scores, classes, most)
    shown = _shown(
        model, images, [each.index for each in mistakes], [classes.index(each.predicted) for each in mistakes]
    )
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
    return (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            facts,
            outcome=describe_outcome(outcome(scores)),
            missed=never_predicted(figures),
            curves=_uri(png(draw_curves(rows))),
            confusion=_uri(png(draw_confusion(scores.confusion, classes))),
            classes=figures,
            percent=percent,
            mistakes=[{**vars(each), **look} for each, look in zip(mistakes, shown, strict=True)],
            heat=bool(shown) and shown[0]["heat"] is not None,
            versions=versions,
        )
        .encode(errors="backslashreplace")
    )


def _shown(model: nn.Module, images: Batches, indices: list[int], targets: list[int]) -> list[dict[str, Any]]:
    """Images at some indices as the network sees them, their Grad-CAM, and their names."""
    if not indices:
        return []
    batch = images.__getitems__(indices)[0].to(next(model.parameters()).device)
    heat, plain = grad_cam(model, batch, targets), pixels(batch, images.preprocessing)
    names = [Path(images.images.names[i]) for i in indices]
    return [
        {
            "image": _picture(plain[i]),
            "heat": None if heat is None else _picture(overlaid(plain[i], heat[i])),
            "file": "/".join(name.parts[-2:]),
        }
        for i, name in enumerate(names)
    ]


def _picture(values: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray((255 * values).round().astype(np.uint8)).save(file, format="PNG")
    return _uri(file.getvalue())


def _uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
