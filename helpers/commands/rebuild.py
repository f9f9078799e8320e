"""A finished run, built again from what its folder says: data, model with its trained weights, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.commands.assembly import Assembly, Options, assemble
from helpers.commands.summary import read_summary
from helpers.errors import HelpersError


def rebuild(run: Path) -> tuple[dict[str, Any], Options, Assembly]:
    """The summary of a run, its options, and all that it worked on, with the weights that it ended with.

    Raises:
        HelpersError: if the folder holds no finished run, its data have moved, or they have other classes now.
    """
    summary = read_summary(run)
    options = Options.of(summary)
    from helpers.models.saved_models import load_model

    saved = load_model(run)
    parts = assemble(options, saved)
    if parts.task.classes != saved.classes:
        raise HelpersError(
            f"{options.data} holds other classes ({', '.join(parts.task.classes[:5])} ...) than {run} was trained on "
            f"({', '.join(saved.classes[:5])} ...); put the old folder there again, or train anew"
        )
    return summary, options, parts
