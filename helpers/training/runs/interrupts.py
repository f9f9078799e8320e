"""Ctrl-C as a request: finish the step in hand, save, then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class InterruptFlag:
    """While active, the first Ctrl-C (SIGINT) only raises a flag; the second one interrupts at once, as usual.

    Outside the main thread, where Python does not let a program handle signals, nothing changes.
    """

    def __init__(self) -> None:
        self.raised = False

    def __enter__(self) -> InterruptFlag:
        self._previous = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True
