"""A strategy of one's own, in a YAML or TOML file: a list of phases."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from helpers.errors import HelpersError
from helpers.training.strategies import Phase

ENDINGS = (".yaml", ".yml", ".toml")


def read_strategy(path: Path) -> list[dict[str, Any]]:
    """Read the phases of a strategy file, as `Phase` takes them.

    YAML holds a list of phases, `- {trainable: head, lr: 3e-3, epochs: 10}`; in TOML each is a table `[[phases]]`.

    Raises:
        HelpersError: if the file is missing, is no YAML or TOML, or a phase has a field too many, too few, or wrong.
    """
    numbers = {field.name for field in fields(Phase) if field.type.startswith("float")}
    try:
        text = path.read_text(encoding="utf-8")
        loaded = tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
        phases = loaded["phases"] if isinstance(loaded, dict) else loaded
        # YAML takes 3e-3 for a text
        read = [{name: float(value) if name in numbers else value for name, value in each.items()} for each in phases]
        return [asdict(Phase(**each)) for each in read]
    except Exception as error:  # those of files, of the parsers and of Phase are of many kinds
        names, reason = ", ".join(field.name for field in fields(Phase)), " ".join(str(error).split())
        raise HelpersError(f"{path} is no list of phases with the fields {names} ({reason}); mend it") from error
