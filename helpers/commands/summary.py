"""The outcome of a run, beside its model in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.errors import HelpersError
from helpers.files import write_json

SUMMARY = "summary.json"


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
    if not isinstance(result, dict) or "val_accuracy" not in result:
        raise HelpersError(f"{path} is not what fit writes; run fit again, or delete it")
    return result
