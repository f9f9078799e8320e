"""`doctor`: look for the common mistakes in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from helpers.commands.assembly import Options, assemble
from helpers.commands.summary import read_summary


def doctor(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that fit --out wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Look for the common mistakes of transfer learning in a run.

    The run's data, model, optimizer and schedule are built again as they were in its last phase, with the weights that
    it ended with. The exit status is 1 where an error is found.
    """
    options = Options.of(read_summary(run))
    from torch import nn

    from helpers.models.saved_models import load_model
    from helpers.models.weights_files.reading import load_into
    from helpers.training.loop import enter_phase
    from helpers.training.optim import make_optimizer, make_scheduler
    from transfer_doctor import diagnose

    parts = assemble(options)
    model, settings, last = parts.model, parts.settings, parts.phases[-1]
    load_into(model, load_model(run).model.state_dict(), source=run)
    enter_phase(model, last)
    optimizer = make_optimizer(model, last, settings.optimizer, settings.weight_decay)
    found = diagnose(
        model,
        optimizer,
        parts.loaders.train,
        parts.loaders.val,
        scheduler=make_scheduler(optimizer, last, last.epochs * len(parts.loaders.train)),
        criterion=nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing),
        classes=parts.task.classes,
        preprocessing=settings.preprocessing,
        weights=False if options.from_scratch else None,
    )
    typer.echo(json.dumps(found.to_json()) if as_json else str(found))
    if found.of("error"):
        raise typer.Exit(1)
