"""What an exhibit is: a set-up that can be built wrong or right, and shown to the doctor or trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from helpers.doctor.museum.worlds import World


@dataclass
class Setup:
    """The objects of a training script, just before its first epoch.

    `epoch_mode` is the mode in which the script trains, `score_mode` the one in which it evaluates: a script may
    well call neither `train()` nor `eval()`.
    """

    model: nn.Module
    optimizer: Any = None
    train_loader: Iterable | None = None
    val_loader: Iterable | None = None
    scheduler: Any = None
    criterion: Callable | None = field(default_factory=nn.CrossEntropyLoss)
    weights: Any = None
    classes: Sequence[str] | None = None
    epoch_mode: bool = True
    score_mode: bool = False

    def shown(self) -> dict[str, Any]:
        """The arguments for `diagnose`."""
        names = ("optimizer", "train_loader", "val_loader", "scheduler", "criterion", "weights", "classes")
        return {"model": self.model, **{name: getattr(self, name) for name in names}}


Builder = Callable[["World", bool], Setup]


@dataclass(frozen=True)
class Exhibit:
    """A mistake: its finding's code, the function that builds it, and whether training it can show a cost."""

    code: str
    name: str
    build: Builder
    trains: bool
    only: tuple[str, ...]


EXHIBITS: list[Exhibit] = []


def exhibit(code: str, *, trains: bool = True, only: Sequence[str] = ()) -> Callable[[Builder], Builder]:
    """Register a function `(world, wrong) -> Setup` as an exhibit.

    Args:
        code: of the finding that the wrong one must give and the right one must not.
        trains: whether the wrong set-up can be trained, so that its cost can be measured.
        only: architectures for which it makes sense; all when empty.
    """

    def register(build: Builder) -> Builder:
        EXHIBITS.append(Exhibit(code, build.__name__, build, trains, tuple(only)))
        return build

    return register


CORRECT: dict[str, Callable[[], Setup]] = {}
"""Set-ups that the doctor must let pass, by name."""


def correct(build: Callable[[], Setup]) -> Callable[[], Setup]:
    """Register a function that builds a correct set-up."""
    CORRECT[build.__name__] = build
    return build
