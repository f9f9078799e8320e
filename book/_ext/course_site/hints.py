"""Hints of exercises: in a notebook `hint()` gives them one by one, on a page they stand folded below the attempt."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

FOLDER = Path(__file__).parents[3] / "notebooks" / "exercises"
ATTEMPT = re.compile(r'= \.\.\..*\n\s*check\("((\d\d)\.\d+)"')
CALL = re.compile(r'hint\("\d\d\.\d+"\)')


def setup(app: Sphinx) -> None:
    """Add the transform."""
    app.add_post_transform(FoldHints)


@cache
def read_hints(lesson: str) -> dict[str, tuple[str, ...]]:
    """The hints of a lesson's exercises, by key: read from the text of its module, which needs torch to be run."""
    tree = ast.parse((FOLDER / f"{lesson}.py").read_text(encoding="utf-8"))
    (exercises,) = (
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "EXERCISES"
    )
    return {
        ast.literal_eval(key): ast.literal_eval(exercise.args[-1])
        for key, exercise in zip(exercises.keys, exercises.values, strict=True)
    }


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
                cell.parent.insert(cell.parent.index(cell) + 1, folded(read_hints(attempt[2])[attempt[1]]))
            elif CALL.fullmatch(source.strip()):
                cell.parent.remove(cell)


def _drop_outputs(cell: nodes.container) -> None:
    for part in list(cell.children[1:]):
        cell.remove(part)


def folded(hints: tuple[str, ...]) -> nodes.Element:
    """Hints, each behind a line of its own to click on."""
    parts = nodes.container(classes=["hints"])
    for number, hint in enumerate(hints, 1):
        text = re.sub("`([^`]+)`", r"<code>\1</code>", nodes.Text(hint).astext().replace("<", "&lt;"))
        html = f"<details><summary>Hint {number} of {len(hints)}</summary><p>{text}</p></details>"
        parts += nodes.raw("", html, format="html")
    return parts
