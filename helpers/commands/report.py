"""`report`: one HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.summary import rebuild


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page.", show_default="RUN/report.html")] = None,
    mistakes: Annotated[int, typer.Option(min=0, metavar="N", help="How many mistakes to show.")] = 12,
) -> None:
    """Write a page about a run: curves, confusion matrix, mistakes with Grad-CAM, settings, versions, model card.

    It is a single file that needs no network. It shows images of the run's data.
    """
    summary, options, parts = rebuild(run)
    from helpers.files import atomic_write
    from helpers.reports.page import write_page

    loader = parts.loaders.test or parts.loaders.val
    content = write_page(parts.model, loader, {"summary": summary, "options": options, **vars(parts)}, mistakes)
    path = out or run / "report.html"
    atomic_write(path, lambda file: file.write(content))
    typer.echo(f"{path} is written; open it in a browser")
