"""Exercises as a notebook and its module of checks hold them; the module is read, not run, since it needs PyTorch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXERCISE = re.compile(r"^\*\*Exercise (\d+)(, open)?\.\*\* ", re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """What is asked, how a learner gets there, and a solution.

    Attributes:
        key: for instance `"03.2"`.
        text: the task, as Markdown, without its number.
        open: whether there are many right answers.
        solution: code.
        right: why a right answer is right.
        hints: two or three.
    """

    key: str
    text: str
    open: bool
    solution: str
    right: str
    hints: tuple[str, ...]


def find_exercises(lesson: str, text: str, cells: Iterable[dict[str, Any]], file: Path) -> Iterator[Exercise]:
    """The exercises of a lesson.

    Args:
        lesson: its number, for instance `"03"`.
        text: the Markdown of its section "Exercises".
        cells: the code cells of that section.
        file: the module with `EXERCISES`.
    """
    told = read_exercises(file)
    solutions = {
        key: source(cell)
        for cell in cells
        if "solution" in tags(cell)
        for key in re.findall(r'check\("([\d.]+)"', source(cell))
    }
    _, *chunks = _EXERCISE.split(text)
    for number, is_open, task in zip(chunks[::3], chunks[1::3], chunks[2::3], strict=True):
        key = f"{lesson}.{number}"
        right, hints = told[key]
        yield Exercise(key, task.strip(), bool(is_open), solutions[key], right, hints)


def read_exercises(file: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """For each key of a module's `EXERCISES`: why a right answer is right, and the hints. The module is not run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["EXERCISES"])
    return {
        ast.literal_eval(key): (ast.literal_eval(call.args[2]), ast.literal_eval(call.args[3]))
        for key, call in zip(table.keys, table.values, strict=True)
    }


def attempt(cell: dict[str, Any]) -> tuple[str, str] | None:
    """The name that a learner fills in and the key of the exercise, if the cell is an attempt."""
    if cell["cell_type"] != "code" or "solution" in tags(cell):
        return None
    try:
        body = ast.parse(source(cell)).body
    except SyntaxError:
        return None
    first, last = (body[0], body[-1]) if len(body) == 2 else (None, None)
    if isinstance(first, ast.Assign) and ast.unparse(first.value) == "..." and isinstance(last, ast.Expr):
        return _names(first)[0], last.value.args[0].value
    return None


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def source(cell: dict[str, Any]) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> list[str]:
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])
