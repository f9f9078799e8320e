"""The outcome of a run, beside its model in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

from helpers.commands.assembly import Assembly, Options, assemble
from helpers.errors import HelpersError
from helpers.files import write_json

SUMMARY = "summary.json"

FIGURES = {
    "task": str,
    "val_accuracy": float,
    "test_accuracy": float | None,
    "trainable_parameters": int,
    "total_parameters": int,
    "train_seconds": float,
}
"""What is read from a summary again, beside the options, and of what type it is."""


def write_summary(run: Path, result: dict[str, Any]) -> None:
    """Put a run's options and figures into its folder."""
    write_json(run / SUMMARY, result)


def read_summary(run: Path) -> dict[str, Any]:
    """What `write_summary` wrote.

    Raises:
        HelpersError: if the folder holds no finished run, or the file is damaged.
    """
    path = run / SUMMARY
    if not path.is_file():
        raise HelpersError(f"{run} holds no finished run ({SUMMARY} is missing); make one with fit --out {run}")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HelpersError(f"{path} is damaged ({error}); run fit again, or delete it") from error
    kinds = get_type_hints(Options) | FIGURES
    odd = [name for name, kind in kinds.items() if not isinstance(result, dict) or not _is_a(result.get(name), kind)]
    if odd:
        raise HelpersError(f"{path} is not what fit writes (see {', '.join(odd)}); run fit again, or delete it")
    return result


def rebuild(run: Path) -> tuple[dict[str, Any], Options, Assembly]:
    """The summary of a run, its options, and all around its trained network; refused if the classes are others now."""
    summary = read_summary(run)
    from helpers.models.saved_models import load_model

    options, saved = Options.of(summary), load_model(run)
    parts = assemble(options, saved)
    if parts.task.classes != saved.classes:
        now, then = (", ".join(classes[:5]) for classes in (parts.task.classes, saved.classes))
        raise HelpersError(
            f"{options.data} holds other classes ({now} ...) than {run} learned ({then} ...); train anew"
        )
    return summary, options, parts


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value from JSON, where 1 and 1.0 are one number, is of this type."""
    return isinstance(value, kind) or (isinstance(value, int) and isinstance(float(value), kind))
