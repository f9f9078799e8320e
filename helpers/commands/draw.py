"""`draw`: drawn images as an image folder, for use with any tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from helpers.errors import HelpersError


def draw(
    what: Annotated[Literal["flowers", "slides", "source"], typer.Argument(metavar="flowers|slides|source")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder; one folder per class goes in.")],
    count: Annotated[int, typer.Option(min=1, help="Images in all, shared evenly by the classes.")] = 200,
    size: Annotated[int, typer.Option(min=16, help="Side of each image in pixels.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other images.")] = 0,
) -> None:
    """Draw images from formulas into a folder of class folders.

    Invented flowers (the near target), microscope slides (the far target), or what the embedded backbone learned from.
    """
    from drawn.contact_sheets import write_folder

    try:
        names = write_folder(what, out, count, size, seed)
    except ValueError as error:
        raise HelpersError(str(error)) from error
    except OSError as error:
        raise HelpersError(
            f"{out} could not be written ({error.strerror or error}); free some space, or name another folder."
        ) from error
    typer.echo(f"{out}: {count} images of {size} x {size} in {len(names)} classes")
