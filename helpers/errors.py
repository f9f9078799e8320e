"""How this package tells you that something is wrong, or what it chose for you."""

import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


class HelpersError(Exception):
    """Something you can mend: the message names what is wrong, where, and what to do."""

    def __init__(self, message: str) -> None:
        if message.startswith("Caught HelpersError in DataLoader worker"):  # torch puts the worker's traceback before
            message = message.rpartition("HelpersError: ")[2].strip()
        super().__init__(message)


class HelpersWarning(UserWarning):
    """Something you should know: work goes on, but look at it."""


class HelpersNote(HelpersWarning):
    """Something that was chosen for you, and what it was; nothing is wrong."""


def note(message: str) -> None:
    """Raise a `HelpersNote`, as `warn` does a warning."""
    warn(message, HelpersNote)


def warn(message: str, category: type[HelpersWarning] = HelpersWarning) -> None:
    """Raise a `HelpersWarning` that points at the line outside of this package which led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
