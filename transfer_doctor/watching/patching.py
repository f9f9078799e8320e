"""Replace methods of classes for the duration of a block, and put everything back."""

from __future__ import annotations

import functools
from collections.abc import Callable


class Patches:
    """Methods that are wrapped now, and how they were."""

    def __init__(self) -> None:
        self._undo: list[tuple[type, str, Callable]] = []

    def wrap(self, owner: type, name: str, around: Callable) -> None:
        """Let `around(original, self, *args, **kwargs)` stand in for a method that `owner` itself defines.

        Raises:
            TypeError: if the class cannot be changed, as those written in C.
        """
        original = owner.__dict__[name]

        @functools.wraps(original)
        def method(self: object, *args: object, **kwargs: object) -> object:
            return around(original, self, *args, **kwargs)

        setattr(owner, name, method)
        self._undo.append((owner, name, original))

    def wrap_method_of(self, cls: type, name: str, around: Callable) -> None:
        """Wrap the method that instances of `cls` use, once, in the class that defines it."""
        owner = next(base for base in cls.__mro__ if name in base.__dict__)
        if (owner, name) not in [(known, method) for known, method, _ in self._undo]:
            self.wrap(owner, name, around)

    def undo(self) -> None:
        """Put the original methods back, the last first."""
        while self._undo:
            owner, name, original = self._undo.pop()
            setattr(owner, name, original)
