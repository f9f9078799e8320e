"""`export`: a trained network for use without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote, or a model file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where weights and description go.")],
) -> None:
    """Write a trained network as plain weights and a description.

    weights.safetensors has the names of torchvision or timm; model.json says the architecture, the class names in the
    order of the scores, and how images are prepared.
    """
    from safetensors.torch import save

    from helpers.files import atomic_write, sha256, write_json
    from helpers.models.saved_models import load_model

    saved = load_model(run)
    tensors = {name: tensor.contiguous() for name, tensor in saved.model.state_dict().items()}
    content = save(tensors, metadata={"format": "pt"})
    weights = out / "weights.safetensors"
    atomic_write(weights, lambda file: file.write(content))
    description = {
        **saved.about,
        "classes": list(saved.classes),
        "preprocessing": saved.preprocessing.to_dict(),
        "weights": {"file": weights.name, "sha256": sha256(weights)},
    }
    write_json(out / "model.json", description)
    typer.echo(f"{weights} and {out / 'model.json'} are written")
