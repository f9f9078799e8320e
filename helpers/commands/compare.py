"""`compare`: the outcomes of several runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from helpers.commands.summary import read_summary


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that fit --out wrote.")],
) -> None:
    """Show the outcomes of several runs in one table."""
    results = [read_summary(run) for run in runs]
    lines = [("task", "strategy", "backbone", "val", "test", "learns", "time")]
    lines += [_line(result) for result in results]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _line(result: dict[str, Any]) -> tuple[str, ...]:
    test = result["test_accuracy"]
    return (
        result["task"],
        result["strategy"],
        result["backbone"],
        f"{result['val_accuracy']:.1%}",
        "-" if test is None else f"{test:.1%}",
        f"{result['trainable_parameters']:,} of {result['total_parameters']:,}",
        f"{result['train_seconds']:.1f} s",
    )
