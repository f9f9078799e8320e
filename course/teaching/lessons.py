"""A lesson as its notebook holds it: sections, ideas, figures, claims, questions, exercises, minutes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from course.teaching.exercises import Exercise, find_exercises, source, tags
from helpers.errors import HelpersError

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CLAIM = "application/vnd.helpers.claim+json"

WORDS, LINES, FIGURE, QUESTION, LIVE = 120, 10, 1, 1, 2
"""A section weighs one by itself, one for so many words and for so many lines of code, and so much for each figure,
each question of a quiz and each "change this, predict, run". By these weights the sections share the lesson's time."""
EXERCISE, OPEN = 5, 10
"""Minutes for an exercise, and for an open one; a question of the last quiz takes one."""
APART = ("Exercises", "Quiz", "Next")
"""Sections outside the time that a lesson names."""

_NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_TIME = re.compile(r"\*\*Time\*\* (?:(\w+) (?:sections|steps) of )?(?:about )?(\w+)(?: to (\w+))? minutes")
_LIVE = re.compile(r"\*\*Change this, predict, run\.\*\* (.+?)(?=\n\n|\n#|\Z)", re.DOTALL)
_QUIZ = re.compile(r'^quiz\("\d\d"(?:, "(\w+)")?\)', re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """A stored image: PNG in base64, what it shows in words, and the line below it."""

    png: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """What stands below a heading of the second or third level, up to the next one.

    Attributes:
        title: the heading.
        level: 2 or 3.
        texts: its Markdown, cell by cell, without the heading.
        cells: its code cells.
        quizzes: questions of the quizzes in it, as in `notebooks/quizzes`.
    """

    title: str
    level: int
    texts: tuple[str, ...]
    cells: tuple[dict[str, Any], ...]
    quizzes: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """All of its Markdown."""
        return "\n\n".join(self.texts)

    @property
    def live(self) -> list[str]:
        """What to change, predict and run in front of a class."""
        return [" ".join(found.split()) for found in _LIVE.findall(self.text)]

    @property
    def idea(self) -> str:
        """Its first paragraph of plain text."""
        paragraphs = (" ".join(part.split()) for part in self.text.split("\n\n"))
        return next((part for part in paragraphs if part[:1].isupper() and not part.endswith(":")), "")

    @property
    def figures(self) -> list[Figure]:
        """Its stored figures."""
        return list(_figures(self.cells))

    @property
    def claims(self) -> list[dict[str, str]]:
        """What it claims: `sentence` and `evidence`."""
        return [output["data"][CLAIM] for output in _outputs(self.cells) if CLAIM in output.get("data", {})]

    @property
    def weight(self) -> float:
        """How much of a class it takes, by the rule above."""
        shown = [source(cell) for cell in self.cells if "hide-input" not in tags(cell)]
        reading = len(self.text.split()) / WORDS + sum(len(code.splitlines()) for code in shown) / LINES
        return 1 + reading + FIGURE * len(self.figures) + QUESTION * len(self.quizzes) + LIVE * len(self.live)


@dataclass(frozen=True)
class Lesson:
    """A notebook of the course.

    Attributes:
        path: the notebook.
    """

    path: Path

    @property
    def number(self) -> str:
        """`"03"`."""
        return self.path.stem[:2]

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """All cells, as stored."""
        return json.loads(self.path.read_text(encoding="utf-8"))["cells"]

    @property
    def opening(self) -> str:
        """The Markdown before the first section."""
        return re.split(r"^## ", source(self.cells[0]), flags=re.MULTILINE)[0]

    @property
    def title(self) -> str:
        """The heading of the whole, up to a colon."""
        return self.opening.splitlines()[0].lstrip("# ").split(":")[0]

    @property
    def subtitle(self) -> str:
        """What follows the colon in that heading."""
        return self.opening.splitlines()[0].partition(": ")[2]

    @property
    def goals(self) -> list[str]:
        """What a learner will be able to do."""
        return bullets(self.opening.split("**Time**")[0])

    @property
    def time(self) -> tuple[int, int]:
        """Minutes at least and at most, without exercises: what the lesson says after "Time".

        Raises:
            HelpersError: if it does not say.
        """
        found = _TIME.search(" ".join(self.opening.split()))
        if found is None:
            raise HelpersError(f'{self.path} names no time; write "**Time** six sections of 10 to 15 minutes"')
        sections, least, most = found.groups()
        times = 1 if sections is None else _NUMBERS[sections]
        low = _number(least)
        return times * low, times * (_number(most) if most else low)

    @cached_property
    def sections(self) -> list[Section]:
        """Its sections, in order."""
        return list(_sections(self.cells, self.questions))

    @cached_property
    def questions(self) -> dict[str, list[dict[str, Any]]]:
        """The questions of its quizzes, by place."""
        file = self.path.parent / "quizzes" / f"{self.number}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @cached_property
    def exercises(self) -> list[Exercise]:
        """Its exercises, in order."""
        section, file = self.section("Exercises"), self.path.parent / "exercises" / f"{self.number}.py"
        return (
            list(find_exercises(self.number, section.text, section.cells, file)) if section and file.is_file() else []
        )

    @property
    def minutes(self) -> list[int]:
        """Minutes for each section."""
        named = [section.weight for section in self.sections if section.title not in APART]
        scale = sum(self.time) / 2 / sum(named)
        return [
            self._apart(one.title) if one.title in APART else max(1, round(scale * one.weight)) for one in self.sections
        ]

    def _apart(self, title: str) -> int:
        if title == "Exercises":
            return sum(OPEN if exercise.open else EXERCISE for exercise in self.exercises)
        return len(self.questions["end"]) if title == "Quiz" else 0

    def section(self, title: str) -> Section | None:
        """The section whose heading begins so."""
        return next((section for section in self.sections if section.title.startswith(title)), None)


def all_lessons(folder: Path = NOTEBOOKS) -> list[Lesson]:
    """The lessons in a folder, in order."""
    return [Lesson(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def bullets(text: str) -> list[str]:
    """The points of a list in Markdown, each on one line."""
    return [
        " ".join(point.split()) for point in re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    ]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word]


def _outputs(cells: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [output for cell in cells for output in cell["outputs"]]


def _figures(cells: tuple[dict[str, Any], ...]) -> Iterator[Figure]:
    for output, below in pairwise([*_outputs(cells), {}]):
        png = "".join(output.get("data", {}).get("image/png", "")).replace("\n", "")
        html = "".join(below.get("data", {}).get("text/html", ""))
        caption = "".join(below["data"]["text/plain"]) if 'class="caption"' in html else ""
        if png:
            yield Figure(png, output["metadata"].get("image/png", {}).get("alt", ""), caption)


def _sections(cells: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> Iterator[Section]:
    """Cut at the headings; what stands before the first one belongs to no section."""
    parts: list[tuple[str, dict[str, Any] | str]] = []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            before, *after = re.split(r"^(###?) (.+)$", source(cell), flags=re.MULTILINE)
            parts.append(("text", before.strip()))
            for level, title, text in zip(after[::3], after[1::3], after[2::3], strict=True):
                parts += [(level, title.strip()), ("text", text.strip())]
        else:
            parts.append(("cell", cell))
    starts = [place for place, (kind, _) in enumerate(parts) if kind.startswith("#")]
    for start, end in pairwise([*starts, len(parts)]):
        inside = parts[start + 1 : end]
        code = tuple(each for kind, each in inside if kind == "cell")
        texts = tuple(each for kind, each in inside if kind == "text" and each)
        places = [place or "end" for cell in code for place in _QUIZ.findall(source(cell))]
        asked = tuple(question for place in places for question in questions.get(place, ()))
        yield Section(parts[start][1], len(parts[start][0]), texts, code, asked)
