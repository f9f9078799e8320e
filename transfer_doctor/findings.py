"""What a finding is, and the register of checks.

A check is one small function registered by `@check`. Its name is its code (`head_frozen` -> `head-frozen`), the first
line of its docstring is its title, and it returns a `Symptom` (or several, or none).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
PAGE = "book/doctor.html"


@dataclass(frozen=True)
class Symptom:
    """What a check saw: a one-line verdict, the numbers behind it, and code that mends it.

    `severity` overrides the severity with which the check is registered, where it depends on what was measured.
    """

    verdict: str
    evidence: str
    fix: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Finding:
    """One mistake found in the objects that were given.

    Attributes:
        code: stable name of the kind of mistake, for example `head-wrong-size`.
        severity: `error` (the result will be wrong or training cannot work), `warning` (it costs accuracy or makes
            a number mislead) or `note` (harmless here, good to know).
        verdict: one line that says what is wrong.
        evidence: what was measured in these very objects.
        fix: Python code that fits these objects.
        page: address of the finding's section in the book, relative to the site's root.
    """

    code: str
    severity: Severity
    verdict: str
    evidence: str
    fix: str
    page: str


class DiagnosisError(Exception):
    """Raised to stop a run in which something is wrong, with verdict, evidence and fix of each finding."""


class CannotTell(Exception):
    """Raised by a check that lacks what it would need; the reason appears under `Diagnosis.not_checked`."""


@dataclass(frozen=True)
class Check:
    """A registered check: its function, how severe its finding is, and what has to be given for it."""

    code: str
    title: str
    severity: Severity
    needs: tuple[str, ...]
    unless: tuple[str, ...]
    function: Callable[[Any], Symptom | Iterable[Symptom] | None]

    @property
    def page(self) -> str:
        """Where the book explains this finding."""
        return f"{PAGE}#{self.code}"


CHECKS: dict[str, Check] = {}


def check(severity: Severity, needs: Collection[str], unless: Collection[str] = ()) -> Callable[[Callable], Callable]:
    """Register a function as a check.

    Args:
        severity: how severe its finding is, unless the symptom itself says otherwise.
        needs: names of the arguments of `diagnose` without which it cannot be done.
        unless: codes of findings that explain this one: where one of them was found, this one is left out.
    """

    def register(function: Callable) -> Callable:
        code = function.__name__.replace("_", "-")
        title = (function.__doc__ or code).strip().splitlines()[0].rstrip(".")
        CHECKS[code] = Check(code, title, severity, tuple(needs), tuple(unless), function)
        return function

    return register
