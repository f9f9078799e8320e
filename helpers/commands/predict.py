"""`predict`: what a trained network says about photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote, or a model file.")],
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="The photos to look at.")],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many classes to name for each.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Say what is on photos.

    The numbers are softmax scores, not calibrated probabilities.
    """
    from helpers.models.prediction import predict as name_photos

    predictions = name_photos(run, photos, top=top)
    if as_json:
        found = [
            {"photo": str(each.photo), "classes": each.classes, "probabilities": each.probabilities}
            for each in predictions
        ]
        typer.echo(json.dumps({"predictions": found}))
        return
    for each in predictions:
        named = zip(each.classes, each.probabilities, strict=True)
        typer.echo(f"{each.photo}: " + ", ".join(f"{name} {probability:.1%}" for name, probability in named))
