"""Slides of a lesson: one HTML file with its ideas, figures, claims and questions, that needs nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment
from markdown_it import MarkdownIt

from course.teaching.lessons import Lesson, bullets

TEMPLATE = Path(__file__).parent / "deck.html"
LEFT_OUT = ("Exercises", "Quiz", "What to remember", "Where to read on", "Next")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def deck(lesson: Lesson) -> str:
    """The slides as a page: arrow keys turn them, each question shows its answers at a click, print makes a PDF."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": _inline, "short": _short}
    remember, exercises = lesson.section("What to remember"), lesson.exercises
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        lesson=lesson,
        sections=[section for section in lesson.sections if section.title not in LEFT_OUT],
        remember=bullets(remember.text) if remember else [],
        tasks=[exercise.text.split("\n\n")[0].replace("\n", " ") for exercise in exercises],
    )


def _short(text: str, most: int = 3) -> str:
    """The first sentences of a paragraph."""
    return " ".join(re.split(r"(?<=[.?!]) (?=[A-Z*`])", text)[:most])


def _inline(text: str) -> str:
    """Markdown of one paragraph as HTML; a link, which would lead out of the deck, becomes its words."""
    tokens = _MARKDOWN.parseInline(text)
    for token in tokens:
        token.children = [part for part in token.children or () if part.type not in ("link_open", "link_close")]
    return _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
