"""The page of common mistakes: what each costs as measured, and what the doctor's register says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course.teaching.exercises import source
from course.teaching.lessons import Lesson, Section, all_lessons
from course_site.doctor import COSTS, DOCTOR, Check, read_checks, read_costs

GROUPS = {
    "lower": ("They lower the accuracy", "The most costly first."),
    "higher": (
        "They raise the number",
        "Either the number deceives you, or what was meant, and did not happen, would have been worse on this task.",
    ),
    "equal": (
        "They cost nothing that could be measured here",
        "On this task, with this backbone. On others they can, so the doctor reports them all the same.",
    ),
}


@dataclass(frozen=True)
class Mistake:
    """A finding of the doctor, and the measured mistake behind it that costs most.

    Attributes:
        check: what the register says.
        row: its figures in `data/mistakes.json`.
    """

    check: Check
    row: dict[str, Any]

    @property
    def lost(self) -> float:
        """Accuracy lost, in points."""
        return 100 * self.row["lost"]

    @property
    def group(self) -> str:
        """A key of `GROUPS`."""
        if not self.row["distinguishable"]:
            return "equal"
        return "lower" if self.lost > 0 else "higher"

    @cached_property
    def told(self) -> dict[str, str]:
        """Symptom, the test by hand and the repair, from the docstring of the check."""
        parts: dict[str, str] = {}
        for paragraph in "\n".join(self.check.details).split("\n\n"):
            word, _, text = " ".join(paragraph.split()).partition(": ")
            parts[word] = text
        return parts

    @property
    def cost(self) -> str:
        """What was measured, in words."""
        low, high = sorted(100 * end for end in self.row["interval"])
        wrong, right = (f"{100 * self.row[f'accuracy_{which}']:.0f} %" for which in ("wrong", "right"))
        if self.group == "equal":
            return f"no difference that could be told from chance ({low:+.1f} to {high:+.1f} points lost)"
        change = f"{abs(self.lost):.1f} points {'lost' if self.lost > 0 else 'more'}"
        low, high = sorted((abs(low), abs(high)))
        return f"{change}: {wrong} with the mistake, {right} without it (95 % interval {low:.1f} to {high:.1f} points)"


def setup(app: Sphinx) -> None:
    """Offer the directive `common-mistakes`."""
    app.add_directive("common-mistakes", CommonMistakes)


def read_mistakes() -> list[Mistake]:
    """The measured mistakes, the most costly first."""
    checks = read_checks()
    found = [Mistake(checks[code], max(rows, key=_size)) for code, rows in read_costs().items() if code in checks]
    return sorted(found, key=lambda mistake: -abs(mistake.lost))


def _size(row: dict[str, Any]) -> tuple[bool, float]:
    return row["distinguishable"], abs(row["lost"])


def lessons_about(code: str, lessons: list[Lesson]) -> Iterator[tuple[Lesson, str]]:
    """The lessons that meet a finding, in their text or in what their cells show, and the heading that it is under."""
    for lesson in lessons:
        for section in lesson.sections:
            told = section.text + "".join(map(source, section.cells))
            if f"`{code}`" in told or f'"{code}"' in told or _is_found(code, section):
                yield lesson, section.title
                break


def _is_found(code: str, section: Section) -> bool:
    """Whether the doctor reports it there, as more than a note."""
    outputs = json.dumps([cell["outputs"] for cell in section.cells])
    severity = r">(error|warning)</span><br><a href=[^>]*#" + re.escape(code) + r"\\?\""
    return bool(re.search(severity, outputs))


class CommonMistakes(SphinxDirective):
    """A section for each group of mistakes: a line with a bar for each, which unfolds to what is to be known of it."""

    def run(self) -> list[nodes.Node]:
        """Write the sections."""
        for file in (*DOCTOR.glob("*.py"), COSTS):
            self.env.note_dependency(str(file))
        lessons, mistakes, sections = all_lessons(), read_mistakes(), []
        for group, (heading, intro) in GROUPS.items():
            section = nodes.section(ids=[f"mistakes-{group}"], names=[f"mistakes-{group}"])
            section += [nodes.title(text=heading), nodes.paragraph(text=intro)]
            for mistake in mistakes:
                if mistake.group == group:
                    lines = StringList(list(_lines(mistake, lessons)), self.env.docname)
                    box = nodes.container(ids=[f"mistake-{mistake.check.code}"])
                    self.state.nested_parse(lines, self.content_offset, box)
                    head = f'<details class="mistake {group}"><summary>{_bar(mistake)}</summary>'
                    section += [nodes.raw("", head, format="html"), box, nodes.raw("", "</details>", format="html")]
            sections.append(section)
        return [nodes.paragraph("", _protocol(), classes=["small-print"]), *sections]


def _protocol() -> str:
    measured = json.loads(COSTS.read_text(encoding="utf-8"))
    return (
        f"Measured on {measured['task']}: each mistake trained with {measured['seeds']} seeds, beside the same runs "
        "without it. The line on a bar is the 95 % interval of the difference, in points of accuracy."
    )


def _lines(mistake: Mistake, lessons: list[Lesson]) -> Iterator[str]:
    check, told = mistake.check, mistake.told
    rows = (
        ("Symptom", told.get("Symptom", "")),
        ("See it", told.get("By hand", "")),
        ("Costs", mistake.cost),
        ("Repair", told.get("Repair", "")),
        ("Read on", ", ".join(_links(check.code, lessons))),
    )
    for name, text in rows:
        if text:
            yield from (name, f": {text[0].upper()}{text[1:]}", "")


def _links(code: str, lessons: list[Lesson]) -> Iterator[str]:
    for lesson, heading in lessons_about(code, lessons):
        yield f"[{lesson.title}](/notebooks/{lesson.path.name}#{default_slugify(heading)})"
    yield f'<a href="doctor.html#{code}">the doctor on <code>{code}</code></a>'


def title(mistake: Mistake) -> str:
    """Its title as HTML, without the full stop."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(mistake.check.title.rstrip("."), quote=False))


def _bar(mistake: Mistake) -> str:
    """Title, bar with interval, and points, in one line."""
    low, high = sorted(100 * end for end in mistake.row["interval"])
    low, high = (0, 0) if low < 0 < high else sorted((abs(low), abs(high)))
    number = f"{-mistake.lost:+.0f}".replace("-", "\u2212") if mistake.group != "equal" else "–"
    return (
        f'<span class="title">{title(mistake)}</span><span class="track" aria-hidden="true">'
        f'<span class="bar" style="width:{abs(mistake.lost):.1f}%"></span>'
        f'<span class="interval" style="left:{low:.1f}%;width:{high - low:.1f}%"></span></span>'
        f'<span class="number">{number}</span>'
    )
