"""`predict`: what a trained network says about photos."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.photos import named_photos


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote, or a model file.")],
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="Photos, folders of photos, or - for names on standard input."),
    ],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many classes to name for each.")] = 1,
    tta: Annotated[bool, typer.Option("--tta", help="Average over each photo and its mirror image.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write a table: photo, then each class and its score.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Say what is on photos.

    The numbers are softmax scores, not calibrated probabilities.
    """
    named = named_photos(photos)
    from helpers.models.prediction import predict as name_photos

    predictions = name_photos(run, named, top=top, tta=tta)
    if as_json:
        found = [
            {"photo": str(each.photo), "classes": each.classes, "probabilities": each.probabilities}
            for each in predictions
        ]
        typer.echo(json.dumps({"predictions": found}))
    elif as_csv:
        table = csv.writer(sys.stdout, lineterminator="\n")
        ranks = [""] if top == 1 else [f" {rank + 1}" for rank in range(len(predictions[0].classes))]
        table.writerow(["photo", *(f"{column}{rank}" for rank in ranks for column in ("class", "probability"))])
        for each in predictions:
            pairs = zip(each.classes, each.probabilities, strict=True)
            table.writerow([each.photo, *(cell for name, chance in pairs for cell in (name, f"{chance:.6f}"))])
    else:
        for each in predictions:
            pairs = zip(each.classes, each.probabilities, strict=True)
            typer.echo(f"{each.photo}: " + ", ".join(f"{name} {chance:.1%}" for name, chance in pairs))
