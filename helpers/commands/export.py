"""`export`: a trained network for use without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote, or a model file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the network and its script go.")],
    form: Annotated[
        Literal["weights", "onnx", "torchscript"], typer.Option("--format", help="What the network is written as.")
    ] = "weights",
) -> None:
    """Write a trained network so that it runs without this package.

    predict.py, written beside it, says what is on photos; it needs NumPy, Pillow, and onnxruntime (onnx) or PyTorch.
    weights.safetensors has the names of torchvision or timm; model.json says the architecture, the class names in the
    order of the scores, and how images are prepared.
    """
    from helpers.commands.exported import predict as script
    from helpers.commands.exported.networks import written
    from helpers.files import atomic_write, sha256, write_json
    from helpers.models.saved_models import load_model

    saved = load_model(run)
    files = written(saved, form)
    for name, content in {**files, "predict.py": Path(script.__file__).read_bytes()}.items():
        atomic_write(out / name, lambda file, content=content: file.write(content))
    description = {
        **saved.about,
        "network": next(iter(files)),
        "classes": list(saved.classes),
        "preprocessing": saved.preprocessing.to_dict(),
        "sha256": {name: sha256(out / name) for name in files},
    }
    write_json(out / "model.json", description)
    typer.echo(f"{', '.join(files)} are written to {out}; try: python {out / 'predict.py'} PHOTO")
