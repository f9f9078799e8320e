"""Handouts for a class: the lessons without solutions, hints and outputs; the answers apart.

`python -m course.teaching.handout FOLDER` writes `lessons/`, which learners get, and `answers/`, which they do not.
`--nbgrader` writes `source/` as nbgrader wants it instead: answer and test cells, solutions between its marks.
"""

from __future__ import annotations

import argparse
import ast
import copy
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from course.teaching.exercises import Exercise, attempt, source, tags
from course.teaching.lessons import NOTEBOOKS, Lesson, all_lessons

_CALL = re.compile(r'^hint\("[\d.]+"\)$')
_SPOKEN = re.compile(r';\s*`hint\("[\d.]+"\)`\s+helps[^;.]*;\s*solutions\s+are\s+folded')
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")

Cell = dict[str, Any]


def handout(lesson: Lesson) -> Cell:
    """The lesson as a learner gets it: no solutions, hints or outputs, and no links out of the folder."""
    cells = [_blank(cell) for cell in lesson.cells if not _given_away(cell)]
    return _notebook(lesson, cells)


def nbgrader(lesson: Lesson) -> Cell:
    """The lesson as nbgrader's source: an answer cell and a test cell, worth a point, for each exercise."""
    solutions = {exercise.key: exercise for exercise in lesson.exercises}
    cells: list[Cell] = []
    for cell in lesson.cells:
        found = attempt(cell)
        if found and found[1] in solutions:
            cells += _graded(cell, found[0], solutions[found[1]])
        elif not _given_away(cell):
            cells.append(_blank(cell))
    return _notebook(lesson, cells)


def answers(lesson: Lesson) -> str:
    """The answer key of a lesson as Markdown: solutions with reasons and hints, then the quizzes."""
    return "\n".join(_answers(lesson)) + "\n"


def _given_away(cell: Cell) -> bool:
    return "solution" in tags(cell) or bool(_CALL.match(source(cell).strip()))


def _blank(cell: Cell) -> Cell:
    """A cell as before it was run, in the words of a handout."""
    cell = copy.deepcopy(cell)
    if cell["cell_type"] == "code":
        cell.update(outputs=[], execution_count=None)
    else:
        cell["source"] = _OUTSIDE.sub(r"\1", _SPOKEN.sub("", source(cell)))
    return cell


def _graded(cell: Cell, name: str, exercise: Exercise) -> Iterator[Cell]:
    """What nbgrader grades: its release keeps the dots and drops the solution."""
    dots = ast.get_source_segment(source(cell), ast.parse(source(cell)).body[0])
    code = f"{dots}\n### BEGIN SOLUTION\n{_answer(name, exercise)}\n### END SOLUTION"
    test = f'from course.exercises import judge\n\ncheck("{exercise.key}", {name})\n'
    test += f'assert judge("{exercise.key}", {name})[0] == "right"'
    place = "exercise-" + exercise.key.replace(".", "-")
    for kind, text, graded in (("answer", code, False), ("check", test, True)):
        new = _blank(cell) | {"id": f"{place}-{kind}", "source": text}
        new["metadata"]["nbgrader"] = {
            "grade": graded,
            "grade_id": f"{place}-{kind}",
            "locked": graded,
            "schema_version": 3,
            "solution": not graded,
            "task": False,
        } | ({"points": 1} if graded else {})
        yield new


def _answer(name: str, exercise: Exercise) -> str:
    """The solution as code that gives the name its value: what stands before the check, and what is checked."""
    *before, check = ast.parse(exercise.solution).body
    lines = exercise.solution.splitlines()[: check.lineno - 1] if before else []
    value = ast.unparse(check.value.args[1])
    return "\n".join([*lines, *([] if value == name else [f"{name} = {value}"])]).strip()


def _notebook(lesson: Lesson, cells: list[Cell]) -> Cell:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return nbformat.from_dict(notebook)


def _answers(lesson: Lesson) -> Iterator[str]:
    yield f"# Answers: {lesson.title}"
    for exercise in lesson.exercises:
        yield from ("", f"## Exercise {exercise.key}", "", exercise.text, "")
        yield from ("```python", exercise.solution, "```", "", exercise.right, "")
        yield from (f"- Hint: {hint}" for hint in exercise.hints)
    for place, questions in lesson.questions.items():
        yield from ("", "## Quiz" if place == "end" else f'## Question "{place}"')
        for question in questions:
            yield from ("", question["question"].strip(), "")
            for choice in question["answers"]:
                yield f"- [{'x' if choice['correct'] else ' '}] {choice['answer']} *{choice['feedback']}*"


def write(folder: Path, for_nbgrader: bool = False) -> list[Path]:
    """Write the handouts of all lessons; an earlier handout in the folder is replaced.

    Returns:
        The notebooks that were written.
    """
    names = ("source",) if for_nbgrader else ("lessons", "answers")
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    written = []
    for lesson in all_lessons():
        made = nbgrader(lesson) if for_nbgrader else handout(lesson)
        place = folder / "source" / lesson.path.stem if for_nbgrader else folder / "lessons"
        place.mkdir(parents=True, exist_ok=True)
        nbformat.validate(made)
        nbformat.write(made, place / lesson.path.name)
        written.append(place / lesson.path.name)
        if not for_nbgrader and (lesson.exercises or lesson.questions):
            (folder / "answers").mkdir(exist_ok=True)
            (folder / "answers" / f"{lesson.path.stem}.md").write_text(answers(lesson), encoding="utf-8")
    return written


def main(words: list[str] | None = None) -> None:
    """Write them, and say where."""
    parser = argparse.ArgumentParser(prog="python -m course.teaching.handout", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nbgrader", action="store_true", help="cells that nbgrader grades, solutions included")
    asked = parser.parse_args(words)
    written = write(asked.folder, asked.nbgrader)
    print(f"{len(written)} lessons of {NOTEBOOKS.name}/ are in {written[0].parents[asked.nbgrader]}")


if __name__ == "__main__":
    main()
