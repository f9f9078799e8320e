"""The register of what `watch` looks for, and how the checks are done on what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_doctor.findings import CannotTell, Check, Finding, Severity, Symptom

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

PAGE = "book/watching.html"


class LoopCheck(Check):
    """A check of what was seen in a training loop."""

    @property
    def page(self) -> str:
        """Where the book explains this finding."""
        return f"{PAGE}#{self.code}"


CHECKS: dict[str, LoopCheck] = {}


@dataclass(frozen=True)
class Outcome:
    """Findings, why some checks could not be done, and how many were."""

    findings: list[Finding]
    not_checked: dict[str, str]
    done: int
    seconds: float


def check(severity: Severity, unless: Collection[str] = ()) -> Callable[[Callable], Callable]:
    """Register a function of a `Watch` as a check.

    Its name is its code (`step_missing` -> `step-missing`). Its docstring is what the book prints: a title, then
    paragraphs that begin with *Symptom*, *By hand* and *Repair*.

    Args:
        severity: how severe its finding is, unless the symptom itself says otherwise.
        unless: codes of findings that explain this one: where one of them was found, this one is left out.
    """

    def register(function: Callable) -> Callable:
        code = function.__name__.replace("_", "-")
        title = (function.__doc__ or code).strip().splitlines()[0].rstrip(".")
        CHECKS[code] = LoopCheck(code, title, severity, (), tuple(unless), function)
        return function

    return register


def examine(seen: Watch) -> Outcome:
    """Do all checks on what was seen."""
    start = time.perf_counter()
    found: list[Finding] = []
    not_checked: dict[str, str] = {}
    for code, each in CHECKS.items():
        try:
            found += [
                Finding(code, s.severity or each.severity, s.verdict, s.evidence, s.fix, each.page)
                for s in _symptoms(each.function(seen))
            ]
        except CannotTell as reason:
            not_checked[code] = str(reason)
        except Exception as error:  # a check must never stop the learner's work
            not_checked[code] = f"this check itself failed with {type(error).__name__}: {error}"
    codes = {finding.code for finding in found}
    kept = [finding for finding in found if not codes & set(CHECKS[finding.code].unless)]
    return Outcome(kept, not_checked, len(CHECKS) - len(not_checked), time.perf_counter() - start)


def counted(number: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _symptoms(result: Symptom | Iterator[Symptom] | None) -> list[Symptom]:
    if result is None:
        return []
    return [result] if isinstance(result, Symptom) else list(result)
