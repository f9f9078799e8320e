"""How far a run has come: everything about it that is not a tensor, as JSON can hold it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The place of a run among its phases, epochs and steps, and its history so far.

    Attributes:
        phase: index of the current phase.
        epoch: epochs of this phase that are done.
        step: optimizer steps of the current epoch that are done.
        loss_sum: sum of the losses of these steps.
        lr: the highest learning rate of the last step.
        seconds: training time of the current epoch.
        stale: epochs of this phase since the last improvement.
        rows: the history so far.
        best: the history's row of the best weights so far, or None.
        images_seen: training images used so far, each counted every time.
        train_seconds: of all finished epochs, validation included, and of computing features.
        finished: whether every phase is done.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    lr: float = 0.0
    seconds: float = 0.0
    stale: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    images_seen: int = 0
    train_seconds: float = 0.0
    finished: bool = False

    def __post_init__(self) -> None:
        self.start_clock()

    @property
    def epochs_done(self) -> int:
        """In all phases together: the order and augmentation of the next epoch depend on it."""
        return len(self.rows)

    @property
    def place(self) -> str:
        """The step that comes next, in words."""
        return f"phase {self.phase + 1}, epoch {self.epoch + 1}, batch {self.step + 1}"

    def start_clock(self) -> None:
        """Count the seconds of the current epoch from now on."""
        self._clock = time.perf_counter()

    def end_step(self, loss: float, images: int, lr: float) -> None:
        """Count an optimizer step over so many images."""
        self.step += 1
        self.loss_sum += loss
        self.images_seen += images
        self.lr = lr
        self._stop_clock()

    def end_epoch(self, val_loss: float, val_accuracy: float) -> bool:
        """Enter the epoch into the history.

        Returns:
            Whether it is the best so far: a higher validation accuracy, or the same with a lower loss.
        """
        self._stop_clock()
        row = {
            "phase": self.phase + 1,
            "epoch": self.epoch + 1,
            "lr": self.lr,
            "train_loss": self.loss_sum / max(1, self.step),
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "seconds": self.seconds,
        }
        best = self.best
        improved = best is None or (val_accuracy, -val_loss) > (best["val_accuracy"], -best["val_loss"])
        if improved:
            self.best = row
        self.stale = 0 if improved else self.stale + 1
        self.rows.append(row)
        self.train_seconds += self.seconds
        self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        return improved

    def end_phase(self, phases: int) -> None:
        """Turn to the next of so many phases."""
        self.phase, self.epoch, self.stale = self.phase + 1, 0, 0
        self.finished = self.phase == phases

    def _stop_clock(self) -> None:
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now
