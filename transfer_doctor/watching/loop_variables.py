"""Read the loop's own variables at the end of a pass: is its accuracy an average over unequal batches?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from transfer_doctor.watching.record import Call, Pass

FRAMES = 6
CLOSE = 1e-5


@dataclass(frozen=True)
class WrongAverage:
    """An accuracy averaged over batches: the variable, what it makes of the accuracy, and what it should be."""

    name: str
    averaged: float
    accuracy: float
    sizes: tuple[int, int]


def find_wrong_average(source: Pass, calls: list[Call]) -> WrongAverage | None:
    """Look in the frames that iterate a loader for a sum, list or mean of the batches' accuracies.

    Only where batches were of unequal size and the two averages differ, so that no other number is mistaken for it.
    """
    if len(set(source.sizes)) < 2 or [c.batch.index for c in calls] != list(range(1, len(source.sizes) + 1)):
        return None
    if any(call.correct is None for call in calls):
        return None
    correct = [int(call.correct) for call in calls]
    fractions = [c / n for c, n in zip(correct, source.sizes, strict=True)]
    accuracy, averaged = sum(correct) / sum(source.sizes), sum(fractions) / len(fractions)
    if abs(accuracy - averaged) < 1e-4:
        return None
    found = None
    for name, value in _variables():
        numbers = list(_numbers(value))
        if isinstance(value, list):
            if [v for v in value if isinstance(v, int)] == source.sizes:
                return None  # the sizes are kept too, to weight by them
            wrong = any(_all_close(numbers[-len(fractions) :], fractions, unit) for unit in (1, 100))
        else:
            wanted = [w for w in (sum(fractions), averaged) if not _round(w)]
            wrong = len(numbers) == 1 and any(_close(numbers[0], w * unit) for w in wanted for unit in (1, 100))
        if wrong and found is None:
            found = WrongAverage(name, averaged, accuracy, (source.sizes[0], source.sizes[-1]))
    return found


def _variables() -> Iterator[tuple[str, Any]]:
    """Local variables of the frames above, and the attributes and entries of simple containers among them."""
    frame = sys._getframe(1)
    depth = 0
    while frame is not None and depth < FRAMES:
        if not frame.f_globals.get("__name__", "").startswith(("transfer_doctor", "torch.", "tqdm")):
            depth += 1
            for name, value in list(frame.f_locals.items()):
                yield name, value
                yield from ((f"{name}[{key!r}]", v) for key, v in _entries(value))
        frame = frame.f_back


def _entries(value: Any) -> list[tuple[str, Any]]:
    if type(value) is dict and len(value) <= 50:
        return list(value.items())
    plain = hasattr(value, "__dict__") and not isinstance(value, type | torch.nn.Module | torch.Tensor)
    return list(vars(value).items()) if plain and not callable(value) and len(vars(value)) <= 20 else []


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list) and len(value) <= 10_000:
        for each in value:
            yield from _numbers(each) if not isinstance(each, list) else ()
    elif isinstance(value, torch.Tensor | np.ndarray):
        yield from [float(value)] if value.ndim == 0 and "float" in str(value.dtype) else []
    elif isinstance(value, float | np.floating):
        yield float(value)


def _round(number: float) -> bool:
    """Whether a number is one that a rate or a counter may be by chance, such as 0.25 or 2."""
    return abs(number * 100 - round(number * 100)) < 1e-3


def _close(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= CLOSE * max(1.0, abs(wanted))


def _all_close(numbers: list[float], wanted: list[float], unit: int) -> bool:
    return len(numbers) == len(wanted) and all(_close(n, w * unit) for n, w in zip(numbers, wanted, strict=True))
