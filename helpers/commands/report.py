"""`report`: one HTML page about a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.rebuild import rebuild


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page.", show_default="report.html in the run's folder")
    ] = None,
    mistakes: Annotated[int, typer.Option(min=0, metavar="N", help="How many mistakes to show.")] = 12,
) -> None:
    """Write a page about a run: curves, confusion matrix, mistakes with Grad-CAM, settings, versions, model card.

    It is a single file that needs no network. It shows images of the run's data.
    """
    summary, options, parts = rebuild(run)
    from helpers.files import atomic_write
    from helpers.reports.page import write_page
    from helpers.training.evaluation import evaluate

    loader = parts.loaders.test or parts.loaders.val
    scores = evaluate(parts.model, loader, precision=parts.settings.precision)
    task = parts.task
    counts = {"training": task.train, "validation": task.val, "test": task.test}
    card = {
        "network": options.backbone,
        "started from": "random weights" if options.from_scratch else options.weights or "its pretrained weights",
        "data": options.data,
        "classes": f"{len(task.classes)}: {', '.join(task.classes)}",
        "images": ", ".join(f"{len(split)} {name}" for name, split in counts.items() if split is not None),
        "strategy": options.strategy,
        "parameters": f"{summary['trainable_parameters']:,} trained of {summary['total_parameters']:,}",
        "training": f"{summary['train_seconds']:.0f} s",
    }
    given = {key: value for key, value in options.to_dict().items() if value is not None and key != "phases"}
    facts = {
        "name": f"{task.name}, {options.strategy}",
        "part": "val" if parts.loaders.test is None else "test",
        "card": card,
        "settings": given | asdict(parts.settings),
        "phases": parts.phases,
    }
    content = write_page(parts.model, loader.dataset, scores, task.classes, summary.get("history", []), facts, mistakes)
    path = out or run / "report.html"
    atomic_write(path, lambda file: file.write(content))
    typer.echo(f"{path} is written; open it in a browser")
