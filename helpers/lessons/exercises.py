"""Exercises: attempt, check, hint. What a lesson asks is registered in `exercises_NN.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from helpers.errors import HelpersError
from helpers.lessons.messages import say


@dataclass(frozen=True)
class Exercise:
    """What a right answer is, and how to get there.

    Attributes:
        check: None for a right answer; else a sentence that says what is wrong with this answer, and the next step. A
            TypeError, ValueError, AttributeError, IndexError or KeyError counts as an answer of the wrong kind.
        kind: what an answer is, for instance "a number of parameters".
        right: a sentence that a right answer earns: why it is so.
        hints: two or three, each a step further.
    """

    check: Callable[[Any], str | None]
    kind: str
    right: str
    hints: tuple[str, ...]


_given: dict[str, int] = {}


def exercise(key: str) -> Exercise:
    """The exercise of that name, for instance `"02.1"`: the first of lesson 2.

    Raises:
        HelpersError: if there is none.
    """
    module = f"helpers.lessons.exercises_{key.partition('.')[0]}"
    exercises: Mapping[str, Exercise] = import_module(module).EXERCISES if find_spec(module) else {}
    if key not in exercises:
        raise HelpersError(f"there is no exercise {key!r}; this lesson has {', '.join(exercises) or 'none'}")
    return exercises[key]


def judge(key: str, answer: Any) -> tuple[str, str]:
    """`"not attempted yet"`, `"right"` or `"not yet"`, and what to say about it. `...` is an answer not attempted."""
    asked = exercise(key)
    if answer is ...:
        return "not attempted yet", f"Put {asked.kind} in place of the dots."
    try:
        problem = asked.check(answer)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        problem = f"this answer is a {type(answer).__name__}, where {asked.kind} is asked for ({error})."
    if problem is None:
        return "right", asked.right
    return "not yet", problem


def check(key: str, answer: Any) -> None:
    """Say whether an answer is right, and if not, what is wrong with it."""
    verdict, reason = judge(key, answer)
    say(f"Exercise {key}: {verdict}{':' if verdict == 'not yet' else '.'}", reason)


def hint(key: str) -> None:
    """Give the next hint; after the last one they start again."""
    hints = exercise(key).hints
    number = _given.get(key, 0) % len(hints)
    _given[key] = number + 1
    say(f"Hint {number + 1} of {len(hints)}:", hints[number])
