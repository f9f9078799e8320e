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

    The run's data, model and optimizer are built again as they were, with the weights that it ended with.
    """
    options = Options.of(read_summary(run))
    from helpers.doctor import diagnose
    from helpers.models.checkpoints import copy_into
    from helpers.models.saved_models import load_model
    from helpers.models.stages import freeze_batchnorm_statistics, set_trainable, stages
    from helpers.training.optim import make_optimizer

    parts = assemble(options)
    model, last = parts.model, parts.phases[-1]
    copy_into(model, load_model(run).model.state_dict())
    model.train()
    set_trainable(model, last.learning([stage.name for stage in stages(model)]))
    freeze_batchnorm_statistics(model, frozen=not last.update_batchnorm)
    found = diagnose(
        model,
        make_optimizer(model, last, "adamw", 0.01),
        parts.loaders.train,
        parts.loaders.val,
        classes=parts.task.classes,
        recipe=parts.recipe,
        weights=False if options.from_scratch else None,
    )
    typer.echo(json.dumps(found.to_json()) if as_json else str(found))
