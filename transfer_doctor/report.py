"""The diagnosis that findings add up to, and how it reads: as text in a terminal, as a table in a notebook."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from html import escape
from textwrap import indent
from typing import Any

from transfer_doctor.findings import SEVERITIES, DiagnosisError, Finding, Severity

COLORS = {"error": "#b3261e", "warning": "#9a6700", "note": "#0b57d0"}


class Diagnosis:
    """The findings about one set-up, the most severe first, and the checks that could not be done.

    Prints as text, shows as a table in a notebook, and becomes JSON with `to_json()`.

    Attributes:
        findings: tuple of `Finding`, errors first.
        not_checked: dictionary from a check's code to the reason why it could not be done.
        seconds: how long the diagnosis took.
        done: how many checks were done.
    """

    def __init__(self, findings: Iterable[Finding], not_checked: dict[str, str], seconds: float, done: int = 0) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
        self.not_checked = dict(not_checked)
        self.seconds = seconds
        self.done = done

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings, the most severe first."""
        return tuple(finding.code for finding in self.findings)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of exactly this severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def raise_on(self, severity: Severity = "error") -> Diagnosis:
        """Refuse to go on where a finding is this severe or worse.

        Returns:
            The diagnosis itself, where nothing is that severe.

        Raises:
            DiagnosisError: with verdict, evidence and fix of each such finding.
        """
        if severity not in SEVERITIES:
            raise DiagnosisError(f"severity {severity!r} is unknown; choose one of {', '.join(SEVERITIES)}.")
        worst = SEVERITIES[: SEVERITIES.index(severity) + 1]
        refused = [finding for finding in self.findings if finding.severity in worst]
        if refused:
            raise DiagnosisError(refusal(refused))
        return self

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain dictionaries, lists, strings and numbers, ready for `json.dumps`."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "done": self.done,
            "not_checked": self.not_checked,
            "seconds": round(self.seconds, 3),
        }

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)


def text(diagnosis: Diagnosis) -> str:
    """The diagnosis as plain text: verdict, evidence, fix and page of each finding, then what was not checked."""
    parts = [headline(diagnosis)]
    parts += [_paragraph(finding) for finding in diagnosis.findings]
    if diagnosis.not_checked:
        lines = [f"  {', '.join(codes)}: {reason}" for reason, codes in _by_reason(diagnosis).items()]
        parts.append("Not checked\n" + "\n".join(lines))
    return "\n\n".join(parts)


def headline(diagnosis: Diagnosis) -> str:
    """One line: how many findings of each severity, how many checks were done and not done, and the seconds.

    Nothing was found only where everything was looked at.
    """
    counts = [(len(diagnosis.of(severity)), severity) for severity in ("error", "warning", "note")]
    found = ", ".join(f"{n} {severity}{'s' if n > 1 else ''}" for n, severity in counts if n)
    left = len(diagnosis.not_checked)
    found = found or ("No finding so far" if left else "Nothing found")
    return f"{found}: {diagnosis.done} checks done, {left} not done ({diagnosis.seconds:.1f} s)"


def refusal(findings: Sequence[Finding]) -> str:
    """The message of the error that stops a training run, in one paragraph for each finding."""
    return "\n\n".join(_paragraph(finding) for finding in findings)


def html(diagnosis: Diagnosis) -> str:
    """The diagnosis as an HTML table; everything that comes from the given objects is escaped.

    Links start from a page one folder below the site's root, where the lessons are.
    """
    rows = "".join(_row(finding) for finding in diagnosis.findings)
    table = f'<table style="text-align:left">{rows}</table>' if rows else ""
    unchecked = ""
    if diagnosis.not_checked:
        items = "".join(
            f"<li>{escape(reason)}: <code>{escape(', '.join(codes))}</code></li>"
            for reason, codes in _by_reason(diagnosis).items()
        )
        count = len(diagnosis.not_checked)
        unchecked = f"<details><summary>{count} checks could not be done</summary><ul>{items}</ul></details>"
    return f"<div><p><b>{escape(headline(diagnosis))}</b></p>{table}{unchecked}</div>"


def _paragraph(finding: Finding) -> str:
    head = f"{finding.severity.upper()} {finding.code}: {finding.verdict}"
    return f"{head}\n  {finding.evidence}\n  Fix:\n{indent(finding.fix, '    ')}\n  See {finding.page}"


def _row(finding: Finding) -> str:
    style = f"color:white;background:{COLORS[finding.severity]};padding:2px 6px;border-radius:4px"
    return (
        f'<tr><td style="vertical-align:top"><span style="{style}">{finding.severity}</span><br>'
        f'<a href="../{escape(finding.page)}"><code>{escape(finding.code)}</code></a></td>'
        f'<td style="text-align:left"><b>{escape(finding.verdict)}</b><br>{escape(finding.evidence)}'
        f"<pre>{escape(finding.fix)}</pre></td></tr>"
    )


def _by_reason(diagnosis: Diagnosis) -> dict[str, list[str]]:
    reasons = defaultdict(list)
    for code, reason in diagnosis.not_checked.items():
        reasons[reason].append(code)
    return reasons
