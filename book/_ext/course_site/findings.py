"""The index of all findings: symptom, severity and measured cost of each; a script adds a filter to the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_site.doctor import COSTS, DOCTOR, read_checks, read_costs, read_symptoms
from course_site.watching import loop_checks

SEVERITIES = ("error", "warning", "note")


def setup(app: Sphinx) -> None:
    """Offer the directive `findings`."""
    app.add_directive("findings", Findings)


class Findings(SphinxDirective):
    """All findings as a table, errors first."""

    def run(self) -> list[nodes.Node]:
        """Write the table."""
        for file in (*DOCTOR.rglob("*.py"), COSTS):
            self.env.note_dependency(str(file))
        self.env.metadata[self.env.docname].setdefault("figures", []).append("findings")
        return [nodes.raw("", "\n".join(table()), format="html")]


def all_findings() -> list[tuple[str, str, str, str]]:
    """Code, severity, title and page of every finding, in a set-up or in a running loop; errors first."""
    before = [(check.code, check.severity, check.title, "doctor.html") for check in read_checks().values()]
    running = [(code, severity, lines[0], "watching.html") for code, severity, lines in loop_checks()]
    return sorted(before + running, key=lambda found: SEVERITIES.index(found[1]))


def lost(code: str) -> float | None:
    """Points of accuracy that the costliest mistake of a finding loses, 0 where none was seen; None if not measured."""
    rows = read_costs().get(code)
    return rows and max((100 * row["lost"] for row in rows if row["distinguishable"]), default=0.0)


def table() -> Iterator[str]:
    """The lines of the table; each row tells the filter its symptoms, severity and cost in points."""
    symptoms = read_symptoms()
    told = escape(json.dumps(list(symptoms)))
    yield '<div class="pst-scrollable-table-container" tabindex="0" role="region" aria-label="All findings">'
    yield f'<table class="table findings" data-symptoms="{told}"><thead><tr>'
    yield from (f"<th>{words}</th>" for words in ("finding", "severity", "accuracy lost", "what it is"))
    yield "</tr></thead><tbody>"
    for code, severity, title, page in all_findings():
        seen = " ".join(str(number) for number, codes in enumerate(symptoms.values()) if code in codes)
        points = lost(code)
        cost = "not measured" if points is None else f"{points:.0f} points" if points >= 0.5 else "none seen"
        title = re.sub("`([^`]+)`", r"<code>\1</code>", escape(title))
        yield f'<tr data-severity="{severity}" data-symptoms="{seen}" data-lost="{max(0.0, points or 0.0):.1f}">'
        yield f'<td><a href="{page}#{code}"><code>{code}</code></a></td>'
        yield f"<td>{severity}</td><td>{cost}</td><td>{title}</td></tr>"
    yield "</tbody></table></div>"
