"""Pretrained networks side by side: their size and cost, and what `data/models.json` measured of their features."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course.strategy_table import Table
from helpers.errors import HelpersError
from helpers.models.modes import eval_mode

MEASURED = Path(__file__).resolve().parents[1] / "data" / "models.json"


def multiply_adds(model: nn.Module, size: int) -> int:
    """Multiplications (each with its addition) that a network needs for one image of `size` pixels.

    PyTorch counts them as it computes, so attention and linear layers over many tokens are counted in full.
    """
    images = next(model.parameters()).new_zeros(1, 3, size, size)
    with eval_mode(model), FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops() // 2


@torch.no_grad()
def seconds_per_image(model: nn.Module, size: int, repeats: int = 3) -> float:
    """The shortest of some forward passes over one image of `size` pixels, on this machine, in eval mode."""
    images, taken = torch.zeros(1, 3, size, size), []
    with eval_mode(model):
        model(images)
        for _ in range(repeats):
            began = time.perf_counter()
            model(images)
            taken.append(time.perf_counter() - began)
    return min(taken)


@dataclass(frozen=True)
class Features:
    """What the features of one stage were worth on one target.

    Attributes:
        source: the network, for instance `"lite0"`; `", random"` after it means random weights.
        target: the task.
        drawn: width in pixels at which its images were drawn; 0 for photos.
        input: width in pixels at which the network saw them.
        stage: whose output was averaged over all positions.
        width: number of features.
        accuracy: of a linear probe on test images, 0 to 1, one per seed.
        log_me: LogME on the training images, one per seed.
        h_score: H-score with shrinkage on the training images, one per seed.
        multiply_adds: of the whole network for one image.
        last: whether it is the stage before the head.
    """

    source: str
    target: str
    drawn: int
    input: int
    stage: str
    width: int
    accuracy: tuple[float, ...]
    log_me: tuple[float, ...]
    h_score: tuple[float, ...]
    multiply_adds: int
    last: bool

    @property
    def pretrained(self) -> bool:
        """Whether the weights are not random."""
        return not self.source.endswith("random")


@dataclass(frozen=True)
class Models:
    """The whole measurement.

    Attributes:
        sources: by name what a network learned from (`about`, `backbone`, `weights`).
        targets: by name what a target is (`about`, `classes`, `chance`, ...).
        features: every stage of every measured cell.
        seconds: processor time for features, probes and scores, over all cells.
        missing: [source, target, drawn, input] of cells that are not measured.
    """

    sources: Mapping[str, Mapping[str, Any]]
    targets: Mapping[str, Mapping[str, Any]]
    features: tuple[Features, ...]
    seconds: Mapping[str, float]
    missing: Sequence[Sequence[Any]] = ()

    def select(self, *, last: bool | None = None, pretrained: bool | None = None, **fields: Any) -> list[Features]:
        """Features with these values, for instance `target="flowers", input=64, last=True`."""
        asked = {"last": last, "pretrained": pretrained} | fields
        asked = {name: value for name, value in asked.items() if value is not None}
        return [one for one in self.features if all(getattr(one, name) == value for name, value in asked.items())]

    def accuracy(self, source: str, target: str, drawn: int, input: int) -> tuple[float, ...]:
        """Test accuracies of a probe on the last stage, one per seed.

        Raises:
            HelpersError: if that was not measured.
        """
        found = self.select(source=source, target=target, drawn=drawn, input=input, last=True)
        if not found:
            cell = f"{source} on {target}, drawn at {drawn} and seen at {input} pixels"
            raise HelpersError(f"{MEASURED.name} does not hold {cell}; measure it with `make models`")
        return found[0].accuracy


def load_models(path: str | Path = MEASURED) -> Models:
    """Read what `make models` measured, whole or not.

    Raises:
        HelpersError: if the file is missing or damaged.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = stored["cells"]
        kinds = rows[0]["seconds"]
        seconds = {name: sum(row["seconds"][name] for row in rows) for name in kinds}
        features = tuple(one for row in rows for one in _stages_of(row))
        return Models(stored["sources"], stored["targets"], features, seconds, stored["missing"])
    except FileNotFoundError as error:
        raise HelpersError(f"{path} is not there; measure it with `make models`") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise HelpersError(f"{path} cannot be read ({error!r}); measure it again with `make models`") from error


def _stages_of(row: Mapping[str, Any]) -> list[Features]:
    place = {name: row[name] for name in ("source", "target", "drawn", "input", "multiply_adds")}
    names = list(row["stages"])
    return [
        Features(
            **place,
            stage=name,
            width=stage["width"],
            **{key: tuple(stage[key]) for key in ("accuracy", "log_me", "h_score")},
            last=name == names[-1],
        )
        for name, stage in row["stages"].items()
    ]


def regret(candidates: Sequence[Features], score: str) -> float:
    """Accuracy (0 to 1) lost by taking the candidate with the highest mean score instead of the best one."""
    chosen = max(candidates, key=lambda one: mean(getattr(one, score)))
    return max(mean(one.accuracy) for one in candidates) - mean(chosen.accuracy)


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows with the same keys as a table that shows itself in a notebook."""
    return Table(tuple(rows[0]), tuple(tuple(str(value) for value in row.values()) for row in rows))
