"""What the lessons use to claim, quiz, examine and draw; the package `helpers` does the transferring.

The names below are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "course.claims": ("ClaimError", "claim"),
    "course.exercises": ("check", "hint"),
    "course.figures": ("show",),
    "course.messages": ("over_seeds",),
    "course.quizzes": ("quiz",),
    "course.worlds": ("world",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'course' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
