"""Quizzes: questions in files, with a reason for every answer."""

from __future__ import annotations

import json
import random
from pathlib import Path

from jupyterquiz import display_quiz

from course.messages import as_html
from helpers.errors import HelpersError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "quizzes"


def questions(lesson: str, place: str = "end") -> list[dict]:
    """The questions at one place of a lesson, as jupyterquiz wants them; text in backticks is shown as code.

    Args:
        lesson: for instance `"01"`.
        place: `"end"`, or the name of a checkpoint.

    Raises:
        HelpersError: if there is no such quiz.
    """
    path = FOLDER / f"{lesson}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "none"
        raise HelpersError(f"there is no quiz {lesson!r} in {FOLDER}; there are: {known}")
    places = json.loads(path.read_text(encoding="utf-8"), object_hook=_with_code)
    if place not in places:
        raise HelpersError(f"the quiz of lesson {lesson} has nothing at {place!r}; it has {', '.join(places)}")
    return places[place]


def _with_code(part: dict) -> dict:
    """Backticks become code, as in the text of a lesson; jupyterquiz knows HTML only."""
    return {key: as_html(value) if isinstance(value, str) else value for key, value in part.items()}


def quiz(lesson: str, place: str = "end") -> None:
    """Show the questions at one place of a lesson, their answers shuffled on the page."""
    before = random.getstate()
    random.seed(f"quiz {lesson} {place}")  # so that the element on the page keeps its name
    display_quiz(questions(lesson, place), shuffle_answers=True)
    random.setstate(before)
