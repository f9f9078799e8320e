"""Answers to the exercises of each lesson, right and wrong; `tests/test_exercises.py` has them judged."""

from functools import partial


class later(partial):
    """An answer that is made only when it is judged: `later(function)`."""
