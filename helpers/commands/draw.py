"""`draw`: drawn pictures as an image folder, for use with any tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def draw(
    what: Annotated[Literal["flowers", "slides", "source"], typer.Argument(metavar="flowers|slides|source")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder; one folder per class goes in.")],
    count: Annotated[int, typer.Option(min=1, help="Pictures in all, shared evenly by the classes.")] = 200,
    size: Annotated[int, typer.Option(min=16, help="Side of each picture in pixels.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pictures.")] = 0,
) -> None:
    """Draw pictures from formulas into a folder of class folders.

    Invented flowers (the near target), microscope slides (the far target), or what the embedded backbone learned from.
    """
    from helpers.drawn.sheets import write_folder

    names = write_folder(what, out, count, size, seed)
    typer.echo(f"{out}: {count} pictures of {size} x {size} in {len(names)} classes")
