"""Ctrl-C as a request: finish the step in hand, save, then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class InterruptFlag:
    """While active, Ctrl-C (or SIGTERM, or a closed terminal) only raises a flag; the second one interrupts at once.

    Outside the main thread, where Python does not let a program handle signals, nothing changes.
    """

    def __init__(self) -> None:
        self.raised = False

    def __enter__(self) -> InterruptFlag:
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._previous = {each: signal.signal(each, self._handle) for each in SIGNALS} if in_main_thread else {}
        return self

    def __exit__(self, *error: Any) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True
