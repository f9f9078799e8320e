"""The page for instructors: a plan for each lesson, and a deck of slides; both are made from the notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course.teaching.lessons import Lesson, Section, all_lessons
from course.teaching.slides import deck

WRONG = Path(__file__).parents[3] / "data" / "wrong_answers.json"


def setup(app: Sphinx) -> None:
    """Offer the directive `lesson-plans`, and write the slides with the pages."""
    app.add_directive("lesson-plans", LessonPlans)
    app.connect("build-finished", write_slides)


def write_slides(app: Sphinx, exception: Exception | None) -> None:
    """A deck for each lesson, in the folder `slides` of the site."""
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir) / "slides"
        folder.mkdir(exist_ok=True)
        for lesson in all_lessons():
            (folder / f"{lesson.path.stem}.html").write_text(deck(lesson), encoding="utf-8")


@cache
def wrong_answers() -> dict[str, list[dict[str, str]]]:
    """For each exercise typical wrong answers, and what a learner is told (`make answers`)."""
    return json.loads(WRONG.read_text(encoding="utf-8")) if WRONG.exists() else {}


class LessonPlans(SphinxDirective):
    """A section for each lesson: minutes, what to show, what to ask, what learners get wrong."""

    def run(self) -> list[nodes.Node]:
        """Write the sections."""
        self.env.note_dependency(str(WRONG))
        sections = []
        for lesson in all_lessons():
            self.env.note_dependency(str(lesson.path))
            section = nodes.section(ids=[f"plan-{lesson.number}"], names=[f"plan-{lesson.number}"])
            section += nodes.title(text=lesson.title)
            self.state.nested_parse(StringList(list(plan(lesson)), self.env.docname), self.content_offset, section)
            sections.append(section)
        return sections


def plan(lesson: Lesson) -> Iterator[str]:
    """A lesson's plan as Markdown."""
    least, most = lesson.time
    named = f"{least} minutes" if least == most else f"{least} to {most} minutes"
    extra = sum(minutes for each, minutes in _timed(lesson) if each.title in ("Exercises", "Quiz"))
    page = f"../notebooks/{lesson.path.stem}.html"
    yield (
        f"**{named} in class**{f', {extra} more for exercises and quiz' if extra else ''}. "
        f'<a href="{page}">Read the lesson</a> · '
        f'<a href="../slides/{lesson.path.stem}.html">Slides</a>'
    )
    yield ""
    yield from _timetable(lesson, page)
    live = [(section, each) for section in lesson.sections for each in section.live]
    if live:
        yield from _folded(f"Show live: {_count(len(live), 'change')} to predict", _live(live))
    questions = [(section, question) for section in lesson.sections for question in section.quizzes]
    if questions:
        yield from _folded(f"Ask: {_count(len(questions), 'question')}", _questions(questions))
    told = {exercise.key: wrong_answers().get(exercise.key, []) for exercise in lesson.exercises}
    if any(told.values()):
        number = sum(map(len, told.values()))
        yield from _folded(f"Expect: {_count(number, 'wrong answer')} to the exercises", _misconceptions(lesson))


def _timed(lesson: Lesson) -> list[tuple[Section, int]]:
    return list(zip(lesson.sections, lesson.minutes, strict=True))


def _timetable(lesson: Lesson, page: str) -> Iterator[str]:
    """A row for each section, as HTML: its titles are links, and no term of the glossary is to be one within them."""
    yield from ("```{raw} html", '<table class="table timetable"><thead><tr><th scope="col">from</th>')
    yield '<th scope="col">min</th><th scope="col">section</th><th scope="col">in it</th></tr></thead><tbody>'
    start = 0
    for section, minutes in _timed(lesson):
        if minutes:
            link = f'<a href="{page}#{nodes.make_id(section.title)}">{escape(section.title)}</a>'
            yield f'<tr class="level-{section.level}"><td>{start // 60}:{start % 60:02}</td><td>{minutes}</td>'
            yield f"<td>{link}</td><td>{_inside(section, lesson)}</td></tr>"
        start += minutes
    yield from ("</tbody></table>", "```", "")


def _inside(section: Section, lesson: Lesson) -> str:
    exercises = len(lesson.exercises) if section.title == "Exercises" else 0
    parts = (
        (len(section.figures), "figure"),
        (len(section.claims), "claim"),
        (len(section.live), "change"),
        (len(section.quizzes), "question"),
        (exercises, "exercise"),
    )
    return ", ".join(_count(number, name) for number, name in parts if number)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _folded(summary: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"::::{{dropdown}} {summary}"
    yield from lines
    yield from ("::::", "")


def _live(changes: list[tuple[Section, str]]) -> Iterator[str]:
    yield from (f"- *{section.title}*: {change}" for section, change in changes)


def _questions(questions: list[tuple[Section, dict]]) -> Iterator[str]:
    for section, question in questions:
        yield from (f"**{question['question'].strip()}** *({section.title})*", "")
        for choice in question["answers"]:
            yield f"- {'✓' if choice['correct'] else '✗'} {choice['answer']} *{choice['feedback']}*"
        yield ""


def _misconceptions(lesson: Lesson) -> Iterator[str]:
    """What is told to a wrong answer names the misconception behind it."""
    for exercise in lesson.exercises:
        asked = exercise.text.split("\n\n")[0].replace("\n", " ")
        yield from (f"**Exercise {exercise.key.partition('.')[2]}.** {asked}", "")
        for wrong in wrong_answers().get(exercise.key, ()):
            yield from code_item(wrong["answer"])
            yield from ("", f"  {wrong['told']}", "")


def code_item(code: str) -> Iterator[str]:
    """An item of a list that begins with code, in its line or as a block."""
    if "\n" not in code and len(code) <= 80:
        yield f"- `{code}`"
    else:
        yield from ("- ```python", *(f"  {line}" for line in code.splitlines()), "  ```")
