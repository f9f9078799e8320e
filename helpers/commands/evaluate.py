"""`evaluate`: how well a trained network does on labeled photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.photos import labeled_photos


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote, or a model file.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that holds one folder per class.")],
    tta: Annotated[bool, typer.Option("--tta", help="Average over each photo and its mirror image.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Measure a trained network on labeled photos that it has not seen."""
    import torch

    from helpers.models.prediction import probabilities
    from helpers.models.saved_models import load_model
    from helpers.reports.classes import describe_classes, figures_of
    from helpers.training.evaluation import Scores

    saved = load_model(run)
    labels = labeled_photos(folder, saved.classes)
    scores = Scores(probabilities(saved, list(labels), tta=tta).log(), torch.tensor(list(labels.values())))
    figures = figures_of(scores, saved.classes)
    typer.echo(json.dumps(figures | {"confusion": scores.confusion.tolist()}) if as_json else describe_classes(figures))
