"""`doctor`: look for the common mistakes in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.summary import rebuild


def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Look for the common mistakes of transfer learning in a run.

    The run's data, model, optimizer and schedule are built again as they were in its last phase, with the weights that
    it ended with. The exit status is 1 where an error is found.
    """
    _, options, parts = rebuild(run)
    from helpers.training.balance import make_criterion
    from helpers.training.loop import enter_phase
    from helpers.training.optim import make_optimizer, make_scheduler
    from transfer_doctor import diagnose

    device = next(parts.model.parameters()).device
    model, settings, last = parts.model, parts.settings, parts.phases[-1]
    enter_phase(model, last)
    optimizer = make_optimizer(model, last, settings.optimizer, settings.weight_decay)
    found = diagnose(
        model,
        optimizer,
        parts.loaders.train,
        parts.loaders.val,
        scheduler=make_scheduler(optimizer, last, last.epochs * len(parts.loaders.train)),
        criterion=make_criterion(parts.loaders.train, settings.label_smoothing, settings.balance, device),
        classes=parts.task.classes,
        preprocessing=settings.preprocessing,
        weights=False if options.from_scratch else None,
    )
    typer.echo(json.dumps(found.to_json()) if as_json else str(found))
    if found.of("error"):
        raise typer.Exit(1)
