"""`pretrain`: make the embedded backbone again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The weights file to write; a .work folder beside it keeps the rest.")
    ] = Path("runs/backbone.safetensors"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the source pictures.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Source pictures per class.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of first weights, order and augmentation.")] = 0,
) -> None:
    """Pretrain the embedded backbone on drawn source pictures.

    A stopped run goes on where it was when the same command is given again. The full run takes about an hour on two
    cores.
    """
    from helpers.pretraining.pretrain import pretrain as make

    try:
        make(out, epochs=epochs, rounds=rounds, seed=seed, report=lambda line: typer.echo(line))
    except KeyboardInterrupt as stop:
        typer.echo("stopped; the same command goes on from the last checkpoint", err=True)
        raise typer.Exit(130) from stop
