"""What a mistake is: a set-up that can be built wrong or right, and inputs to the doctor or trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.mistakes.worlds import Setup, World

Builder = Callable[[World, bool], Setup]


@dataclass(frozen=True)
class Mistake:
    """A mistake: its finding's code, the function that builds it, and whether training it can show a cost."""

    code: str
    name: str
    build: Builder
    trains: bool
    only: tuple[str, ...]


MISTAKES: list[Mistake] = []


def mistake(code: str, *, trains: bool = True, only: Sequence[str] = ()) -> Callable[[Builder], Builder]:
    """Register a function `(world, wrong) -> Setup` as a mistake.

    Args:
        code: of the finding that the wrong one must give and the right one must not.
        trains: whether the wrong set-up can be trained, so that its cost can be measured.
        only: architectures for which it makes sense; all when empty.
    """

    def register(build: Builder) -> Builder:
        MISTAKES.append(Mistake(code, build.__name__, build, trains, tuple(only)))
        return build

    return register


CORRECT: dict[str, Callable[[], Setup]] = {}
"""Set-ups that the doctor must let pass, by name."""


def correct(build: Callable[[], Setup]) -> Callable[[], Setup]:
    """Register a function that builds a correct set-up."""
    CORRECT[build.__name__] = build
    return build
