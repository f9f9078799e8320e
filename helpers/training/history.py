"""What happened in training, one row per epoch, and how it is shown while it happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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
    """Shows one line per epoch and, while an epoch runs, how far it is.

    In a terminal the bar (tqdm) disappears when its epoch is over. In a notebook all lines live in one output that is
    rewritten in place, so that the stored notebook holds the lines and nothing else. Elsewhere only the lines are
    printed.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._lines: list[str] = []
        self._handle = _notebook_output() if enabled else None
        self._bar = None

    def start_epoch(self, title: str, steps: int) -> None:
        """Begin an epoch of so many steps."""
        if self.enabled and self._handle is None:
            from tqdm import tqdm

            self._bar = tqdm(total=steps, desc=title, leave=False, disable=None, unit="batch")
        self._title, self._steps, self._done = title, steps, 0

    def step(self) -> None:
        """One batch is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif self._handle is not None and self._done % max(1, self._steps // 20) == 0:
            self._show([f"{self._title}  {self._done}/{self._steps} batches"])

    def end_epoch(self, row: dict[str, Any]) -> None:
        """The epoch is over: show its line."""
        self.close()
        self.say(describe_epoch(row))

    def say(self, line: str) -> None:
        """Show a line that stays."""
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
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": ""}, raw=True, display_id=True)
