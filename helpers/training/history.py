"""What happened in training, one row per epoch, and how it is shown while it happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm


@dataclass
class History:
    """A plain table of training: one dictionary per epoch.

    Each row has `phase` and `epoch` (both from 1), `lr` (the highest of all groups in the last step),
    `train_loss`, `val_loss`, `val_accuracy` (0 to 1) and `seconds`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def column(self, name: str) -> list[Any]:
        """The values of one column, in order."""
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __str__(self) -> str:
        return "\n".join(describe_epoch(row) for row in self.rows)


def describe_epoch(row: dict[str, Any]) -> str:
    """One epoch in one line."""
    return (
        f"phase {row['phase']}  epoch {row['epoch']:3d}  train loss {row['train_loss']:.4f}  "
        f"val loss {row['val_loss']:.4f}  val accuracy {row['val_accuracy']:.4f}  "
        f"lr {row['lr']:.1e}  {row['seconds']:.1f} s"
    )


class Reporter:
    """Shows training while it runs: a progress bar, and a line per epoch.

    The first and the last epoch of a phase have their line, the others at most one a second. In a terminal the bar
    (tqdm) disappears when its epoch is over. In a notebook all lines live in one output that is rewritten in place, so
    that the stored notebook holds the lines and nothing else. Elsewhere only the lines are printed.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._lines: list[str] = []
        self._handle = _notebook_output() if enabled else None
        self._bar: tqdm | None = None
        self._last_line = 0.0

    def step(self, title: str, done: int, steps: int) -> None:
        """So many of an epoch's steps are done."""
        if self._handle is not None:
            if done % max(1, steps // 20) == 0:
                self._show([f"{title}  {done}/{steps} batches"])
        elif self.enabled:
            if self._bar is None:
                self._bar = tqdm(total=steps, initial=done - 1, desc=title, leave=False, disable=None, delay=0.5)
            self._bar.update()

    def end_epoch(self, row: dict[str, Any], last: bool) -> None:
        """The epoch is over: show its line."""
        self.close()
        if row["epoch"] == 1 or last or time.monotonic() - self._last_line > 1:
            self.say(describe_epoch(row))

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._last_line = time.monotonic()
        if self._handle is not None:
            self._lines.append(line)
            self._show([])
        elif self.enabled:
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take away the bar of an unfinished epoch."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, passing: list[str]) -> None:
        self._handle.update({"text/plain": "\n".join(self._lines + passing)}, raw=True)


def _notebook_output() -> Any:
    """A display that can be rewritten, when running under Jupyter; else None."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    return ipython.display.display({"text/plain": ""}, raw=True, display_id=True)
