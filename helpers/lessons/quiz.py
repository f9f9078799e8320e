"""Quizzes: questions in files, a reason for every choice."""

from __future__ import annotations

import json
import random
from pathlib import Path

from helpers.errors import HelpersError
from helpers.lessons.messages import as_html

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "quizzes"


def questions(lesson: str) -> list[dict]:
    """The questions of a lesson, as jupyterquiz wants them: text in backticks is shown as code.

    Raises:
        HelpersError: if there is no such quiz.
    """
    path = FOLDER / f"{lesson}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "none"
        raise HelpersError(f"there is no quiz {lesson!r} in {FOLDER}; there are: {known}")
    return json.loads(path.read_text(encoding="utf-8"), object_hook=_code_shown)


def _code_shown(part: dict) -> dict:
    """Backticks become code, as in the text of a lesson; jupyterquiz knows HTML only."""
    return {key: as_html(value) if isinstance(value, str) else value for key, value in part.items()}


def quiz(lesson: str) -> None:
    """Show the quiz of a lesson, for instance `quiz("01")`, each time under the same name in the page."""
    from jupyterquiz import display_quiz

    before = random.getstate()
    random.seed(f"quiz {lesson}")
    display_quiz(questions(lesson), shuffle_answers=False)
    random.setstate(before)
