"""Hints and typical wrong answers: a notebook gives them one by one, on a page they stand folded below the attempt."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from course.teaching.exercises import read_exercises
from course_site.instructors import wrong_answers

FOLDER = Path(__file__).parents[3] / "notebooks" / "exercises"
ATTEMPT = re.compile(r'= \.\.\..*\n\s*check\("((\d\d)\.\d+)"')
CALL = re.compile(r'hint\("\d\d\.\d+"\)')


def setup(app: Sphinx) -> None:
    """Add the transform."""
    app.add_post_transform(FoldHints)


@cache
def read_hints(lesson: str) -> dict[str, tuple[str, ...]]:
    """The hints of a lesson's exercises, by key."""
    return {key: hints for key, (_, hints) in read_exercises(FOLDER / f"{lesson}.py").items()}


class FoldHints(SphinxPostTransform):
    """Put the hints below each attempt, in place of what an attempt not made and a call of `hint()` print."""

    default_priority = 197

    def run(self, **kwargs: Any) -> None:
        """Go through the page's code cells."""
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            source = cell.children[0].astext()
            attempt = ATTEMPT.search(source)
            if attempt:
                _drop_outputs(cell)
                parts = folded(read_hints(attempt[2])[attempt[1]])
                parts += typical(wrong_answers().get(attempt[1], []))
                cell.parent.insert(cell.parent.index(cell) + 1, parts)
            elif CALL.fullmatch(source.strip()):
                cell.parent.remove(cell)


def _drop_outputs(cell: nodes.container) -> None:
    for part in list(cell.children[1:]):
        cell.remove(part)


def folded(hints: tuple[str, ...]) -> nodes.Element:
    """Hints, each behind a line of its own to click on."""
    parts = nodes.container(classes=["hints"])
    for number, hint in enumerate(hints, 1):
        html = f"<details><summary>Hint {number} of {len(hints)}</summary><p>{_html(hint)}</p></details>"
        parts += nodes.raw("", html, format="html")
    return parts


def typical(answers: list[dict[str, str]]) -> list[nodes.Node]:
    """Wrong answers that many give, and what the check says to each, behind one line."""
    if not answers:
        return []
    items = "".join(f"<dt><pre>{escape(one['answer'])}</pre></dt><dd>{_html(one['told'])}</dd>" for one in answers)
    html = f'<details class="wrong"><summary>Typical wrong answers</summary><dl>{items}</dl></details>'
    return [nodes.raw("", html, format="html")]


def _html(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
