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
    try:
        text = path.read_text(encoding="utf-8")
        loaded = tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise HelpersError(
            f"the strategy file {path} cannot be read ({reason}); check the path and its text"
        ) from error
    phases = loaded.get("phases") if isinstance(loaded, dict) else loaded
    if not isinstance(phases, list) or not phases or not all(isinstance(phase, dict) for phase in phases):
        raise HelpersError(
            f"{path} holds no list of phases; write one such as: - {{trainable: head, lr: 0.003, epochs: 10}}"
        )
    return [_phase(phase, f"phase {number} of {path}") for number, phase in enumerate(phases, start=1)]


def _phase(given: dict[str, Any], where: str) -> dict[str, Any]:
    known = {field.name: field.type for field in fields(Phase)}
    unknown = sorted(set(given) - set(known))
    missing = [name for name in ("trainable", "lr", "epochs") if name not in given]
    if unknown or missing:
        fault = f"has {', '.join(map(str, unknown))}, which no phase has" if unknown else f"lacks {', '.join(missing)}"
        raise HelpersError(f"{where} {fault}; its fields are {', '.join(known)}")
    try:  # YAML takes 3e-3 for a text
        values = {name: float(value) if known[name].startswith("float") else value for name, value in given.items()}
        trainable = values["trainable"]
        values["trainable"] = tuple(trainable) if isinstance(trainable, list) else trainable
        return asdict(Phase(**values))
    except (TypeError, ValueError) as error:
        raise HelpersError(f"{where} cannot be used ({error}); give numbers for rates and epochs") from error
    except HelpersError as error:
        raise HelpersError(f"{where}: {error}") from error
