"""Exercises: attempt, check, hint. What a lesson asks stands in `notebooks/exercises/`, a file for each lesson."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

import helpers
from course.messages import say
from helpers.errors import HelpersError

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "exercises"
_OTHERS = (
    str(Path(__file__).parent),
    str(Path(helpers.__file__).parent),
    str(FOLDER),
    "site-packages",
    "dist-packages",
    "<frozen",
    "<string>",
)


class WrongKind(Exception):
    """The answer is not the kind of thing that was asked for; the message says what it is."""


@dataclass(frozen=True)
class Passed:
    """A right answer, and what was measured with it."""

    measured: str


@dataclass(frozen=True)
class Exercise:
    """What a right answer is, and how to get there.

    Attributes:
        check: None or `Passed` for a right answer; else a sentence that says what is wrong with this answer, and the
            next step. Whatever the learner's own code raises is shown with its line.
        kind: what an answer is, for instance "a number of parameters".
        right: a sentence that a right answer earns: why it is right.
        hints: two or three, each a step further.
    """

    check: Callable[[Any], str | Passed | None]
    kind: str
    right: str
    hints: tuple[str, ...]


_hints_given: dict[str, int] = {}
_results: list[Path] = []


@cache
def lesson_exercises(lesson: str) -> ModuleType:
    """The exercises of a lesson, for instance `"02"`: a module with `EXERCISES`, by key.

    Raises:
        HelpersError: if there are none.
    """
    path = FOLDER / f"{lesson}.py"
    if not path.is_file():
        raise HelpersError(f"there are no exercises for lesson {lesson!r} in {FOLDER}")
    spec = spec_from_file_location(f"exercises_{lesson}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exercise(key: str) -> Exercise:
    """Find an exercise by its number: `"02.1"` is the first of lesson 2.

    Raises:
        HelpersError: if there is none.
    """
    exercises = lesson_exercises(key.partition(".")[0]).EXERCISES
    if key not in exercises:
        raise HelpersError(f"there is no exercise {key!r}; this lesson has {', '.join(exercises)}")
    return exercises[key]


def judge(key: str, answer: Any) -> tuple[str, str]:
    """Grade an answer: `"right"`, `"not yet"`, `"not attempted yet"` or `"could not be checked"`, and the reason.

    `...` is an answer not attempted.
    """
    asked = exercise(key)
    if answer is ...:
        return "not attempted yet", f"Put {asked.kind} in place of the dots."
    try:
        problem = asked.check(answer)
    except WrongKind as wrong:
        problem = f"{wrong}, and {asked.kind} is asked for."
    except (Exception, SystemExit) as error:
        line = _line_of_the_learner(error)
        if line is None:
            reason = f"the check itself failed ({type(error).__name__}: {error}). Your answer may still be right."
            return "could not be checked", reason
        problem = f"your code raised {type(error).__name__} ({error}) in {line}."
    if isinstance(problem, Passed):
        return "right", f"{asked.right} {problem.measured}"
    return ("right", asked.right) if problem is None else ("not yet", problem)


def _line_of_the_learner(error: BaseException) -> str | None:
    """The innermost line of an exception that is neither ours nor a library's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(part in frame.filename for part in _OTHERS):
            return f"line {frame.lineno}, `{frame.line}`" if frame.line else f"line {frame.lineno}"
    return None


def number(answer: Any) -> float:
    """A number from Python, NumPy or PyTorch, or written as text ("11,181,642").

    Raises:
        WrongKind: for anything else.
    """
    if isinstance(answer, str):
        answer = answer.replace(",", "").replace("_", "").replace(" ", "")
    try:
        return float(answer.item() if isinstance(answer, (Tensor, np.ndarray, np.generic)) else answer)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongKind(f"this is {_described(answer)}") from error


def word(answer: Any) -> str:
    """A word in small letters without blanks, as it is compared.

    Raises:
        WrongKind: for anything but text.
    """
    if not isinstance(answer, str):
        raise WrongKind(f"this is {_described(answer)}")
    return "".join(answer.split()).lower()


def function(answer: Any, *arguments: Any) -> Any:
    """What the learner's function returns for these arguments.

    Raises:
        WrongKind: for anything that is no function, or one that takes other arguments.
    """
    if not callable(answer):
        raise WrongKind(f"this is {_described(answer)}")
    try:
        return answer(*arguments)
    except TypeError as error:
        if _line_of_the_learner(error) is None and "argument" in str(error):
            raise WrongKind(f"calling it failed ({error})") from error
        raise


def instance(answer: Any, kind: type) -> Any:
    """The answer, if it is of that kind.

    Raises:
        WrongKind: if it is not.
    """
    if not isinstance(answer, kind):
        raise WrongKind(f"this is {_described(answer)}")
    return answer


def _described(answer: Any) -> str:
    if answer is None:
        return "None (does your function return something?)"
    name = type(answer).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def check(key: str, answer: Any) -> None:
    """Check an answer to an exercise, and say what is wrong with it."""
    verdict, reason = judge(key, answer)
    for file in _results if answer is not ... else ():
        row = {"exercise": key, "verdict": verdict, "reason": reason, "time": datetime.now().isoformat("T", "seconds")}
        with file.open("a", encoding="utf-8") as results:
            results.write(json.dumps(row, ensure_ascii=False) + "\n")
    say(f"Exercise {key}: {verdict}{':' if verdict == 'not yet' else '.'}", reason)


def keep_results(file: str | Path) -> None:
    """Keep what `check` says from now on in a file of your own, one line of JSON for each answer.

    `python -m course.teaching.results FOLDER` makes a table of the files of a class.
    """
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    _results[:] = [path]


def hint(key: str) -> None:
    """Give the next hint; after the last one they start again."""
    hints = exercise(key).hints
    given = _hints_given.get(key, 0) % len(hints)
    _hints_given[key] = given + 1
    say(f"Hint {given + 1} of {len(hints)}:", hints[given])
