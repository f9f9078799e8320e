"""Going on where a run stopped: what a run is, how far it has come, and both on disk."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from helpers.errors import HelpersError
from helpers.models.weights_files.checkpoints import (
    copy_into,
    group_settings,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class State:
    """How far a run has come: everything about it that is not a tensor.

    Attributes:
        phase: index of the phase in hand.
        epoch: epochs of this phase that are done.
        step: optimizer steps of the epoch in hand that are done.
        loss_sum: sum of the losses of these steps.
        rate: the highest learning rate of the last step.
        seconds: training time of the epoch in hand.
        stale: epochs of this phase since the last improvement.
        rows: the history so far.
        best: the history's row of the best weights so far, or None.
        images_seen: training images used so far, each counted every time.
        train_seconds: training and validation time of finished epochs, and the time in which features were made.
        finished: whether every phase is done.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0
    stale: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    images_seen: int = 0
    train_seconds: float = 0.0
    finished: bool = False

    @property
    def number(self) -> int:
        """Epochs done in all phases: the order and augmentation of the next one go by it."""
        return len(self.rows)

    def end_epoch(self, row: dict[str, Any]) -> bool:
        """Enter an epoch's row into the history.

        Returns:
            Whether it is the best so far: more validation images named correctly, or as many with a lower loss.
        """
        best = self.best
        improved = best is None or (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])
        if improved:
            self.best = row
        self.stale = 0 if improved else self.stale + 1
        self.rows.append(row)
        self.train_seconds += row["seconds"]
        self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        return improved

    def end_phase(self, of: int) -> None:
        """Turn to the next of so many phases."""
        self.phase, self.epoch, self.stale = self.phase + 1, 0, 0
        self.finished = self.phase == of


@dataclass
class Snapshot:
    """What `Recorder.load` found: a state, and the tensors that go with it."""

    state: State
    tensors: dict[str, Tensor]
    groups: list[dict[str, Any]]
    schedule: dict[str, Any] | None

    @property
    def within_phase(self) -> bool:
        """Whether it was taken in the course of a phase, so that its optimizer goes on."""
        return bool(self.groups)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under one of the names `model`, `best` and `optimizer`, without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    def restore_model(self, model: nn.Module) -> dict[str, Tensor]:
        """Give the model its weights back.

        Returns:
            The best weights so far, whole.
        """
        copy_into(model, self.part("model"))
        return clone_state(model) | self.part("best")

    def restore_optimizer(self, optimizer: torch.optim.Optimizer, scheduler: LRScheduler | None) -> None:
        """Give the optimizer its momentum and the scheduler its place back."""
        restore_optimizer(optimizer, self.part("optimizer"), self.groups)
        if scheduler is not None:
            scheduler.load_state_dict(self.schedule)


class Recorder:
    """Keeps a run's checkpoint in a folder.

    Args:
        folder: of the run; created.
        identity: what makes the run this run (settings, strategy, classes, images), as JSON can hold it; a
            checkpoint of another run is refused.
    """

    def __init__(self, folder: str | Path, identity: dict[str, Any]) -> None:
        self.path = Path(folder) / CHECKPOINT
        self.identity = json.loads(json.dumps(identity))

    def check_place(self) -> None:
        """Make the folder, and find out whether it can be written to before any time is spent on training.

        Raises:
            HelpersError: if it cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise HelpersError(
                f"{self.path.parent} could not be written to ({error.strerror or error}); choose another folder for "
                "the run, or see to its permissions"
            ) from error

    def save(
        self,
        state: State,
        model: nn.Module,
        best: dict[str, Tensor],
        optimizer: torch.optim.Optimizer | None,
        scheduler: LRScheduler | None,
    ) -> None:
        """Write everything that is needed to go on bit for bit; between phases there is no optimizer.

        Raises:
            HelpersError: if the file cannot be written; the one before it stays whole.
        """
        weights = model.state_dict()
        tensors = {f"model.{name}": value for name, value in weights.items()}
        tensors |= {f"best.{name}": value for name, value in best.items() if not torch.equal(value, weights[name])}
        if optimizer is not None:
            tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(optimizer).items()}
        description = {
            "identity": self.identity,
            "state": asdict(state),
            "groups": [] if optimizer is None else group_settings(optimizer),
            "schedule": None if scheduler is None else scheduler.state_dict(),
        }
        save_checkpoint(self.path, tensors, description)

    def load(self) -> Snapshot | None:
        """The stored run, or None where there is none yet.

        Raises:
            HelpersError: if the checkpoint is damaged, or belongs to another run.
        """
        if not self.path.exists():
            return None
        tensors, description = load_checkpoint(self.path, ("identity", "state"))
        self._check_identity(description["identity"])
        return Snapshot(State(**description["state"]), tensors, description["groups"], description["schedule"])

    def _check_identity(self, stored: dict[str, Any]) -> None:
        for name, value in self.identity.items():
            if stored.get(name) != value:
                raise HelpersError(
                    f"{self.path} belongs to another run: its {name} was {stored.get(name)!r}, now it is {value!r}. "
                    "Resume with the same options, or give the new run a folder of its own."
                )


def clone_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer of the model's state, by name."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
