"""`draw`: drawn pictures as an image folder, for use with any tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.errors import HelpersError


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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HelpersError(f"{out} is not an empty folder; choose another one")
    from PIL import Image

    if what == "flowers":
        from helpers.drawn.flowers import SPECIES as CLASSES
        from helpers.drawn.flowers import draw as pictures_of
    elif what == "slides":
        from helpers.drawn.slides import CLASSES
        from helpers.drawn.slides import draw as pictures_of
    else:
        from helpers.drawn.source import CLASSES
        from helpers.drawn.source import draw as pictures_of

    labels = [number % len(CLASSES) for number in range(count)]
    digits = len(str(count - 1))
    for number, (label, picture) in enumerate(zip(labels, pictures_of(labels, size, seed), strict=True)):
        folder = out / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{number:0{digits}d}.png")
    typer.echo(f"{out}: {count} pictures of {size} x {size} in {min(count, len(CLASSES))} classes")
