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

    predict.py, which is written beside it, says what is on photos. It needs Pillow and NumPy, and: onnxruntime for
    onnx; torch for torchscript; torch, safetensors and torchvision (or timm, for its networks) for weights.
    """
    from helpers.commands.exported import networks
    from helpers.commands.exported import predict as script
    from helpers.files import atomic_write, sha256, write_json
    from helpers.models.saved_models import load_model

    saved = load_model(run)
    name, written = networks.FORMATS[form]
    files = {name: written(saved), "predict.py": Path(script.__file__).read_bytes()}
    if form == "weights":
        files["network.py"] = networks.source(saved).encode()
    for each, content in files.items():
        atomic_write(out / each, lambda file, content=content: file.write(content))
    description = {
        **saved.about,
        "format": form,
        "needs": ["numpy", "pillow", *networks.needs(saved, form)],
        "classes": list(saved.classes),
        "preprocessing": saved.preprocessing.to_dict(),
        "weights": {"file": name, "sha256": sha256(out / name)},
    }
    write_json(out / "model.json", description)
    typer.echo(f"{out / name} is written; try: python {out / 'predict.py'} PHOTO")
