"""Checkpoints of a run: everything that is needed to go on bit for bit, in one file of plain PyTorch."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from helpers.errors import HelpersError
from helpers.files import atomic_write
from helpers.training.runs.progress import Progress

CHECKPOINT = "checkpoint.pt"


class RunFolder:
    """The folder of a run with its checkpoint.

    Args:
        folder: of the run; created by `open`.
        identity: what makes the run this run (settings, strategy, classes, images), as JSON can hold it; a checkpoint
            of another run is refused.
    """

    def __init__(self, folder: str | Path, identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.path = self.folder / CHECKPOINT
        self.identity = json.loads(json.dumps(identity))
        self._lock = FileLock(self.folder / ".lock", timeout=0)

    def open(self, room: int = 0) -> None:
        """Make the folder, keep other processes out, and remove what killed ones left half-written.

        Raises:
            HelpersError: if it cannot be written to, has no room for so many bytes, or another process trains in it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
            self._lock.acquire()
            for half in self.folder.glob(".*.tmp"):
                half.unlink(missing_ok=True)
            free = shutil.disk_usage(self.folder).free
        except Timeout:
            raise HelpersError(
                f"another process is training in {self.folder}; wait for it, or give the new run another folder"
            ) from None
        except OSError as error:
            raise HelpersError(
                f"{self.folder} could not be written to ({error.strerror or error}); choose another folder for "
                "the run, or see to its permissions"
            ) from error
        if free < room:
            self.close()
            raise HelpersError(
                f"{self.folder} lies on a disk with {free / 1e6:.0f} MB left, and this run needs {room / 1e6:.0f} MB; "
                "free some space, or choose another folder"
            )

    def close(self) -> None:
        """Let other processes in again."""
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)

    def save(
        self,
        progress: Progress,
        model: nn.Module,
        best: dict[str, Tensor],
        optimizer: torch.optim.Optimizer | None = None,
        scheduler: LRScheduler | None = None,
    ) -> None:
        """Write a checkpoint, atomically; between phases there is no optimizer.

        Raises:
            HelpersError: if the file cannot be written; the one before it stays whole.
        """
        weights = model.state_dict()
        content = {
            "identity": self.identity,
            "progress": asdict(progress),
            "model": dict(weights),
            "best": {name: value for name, value in best.items() if not torch.equal(value, weights[name])},
            "optimizer": optimizer and optimizer.state_dict(),
            "scheduler": scheduler and scheduler.state_dict(),
        }
        atomic_write(self.path, lambda file: torch.save(content, file))

    def load(self) -> dict[str, Any] | None:
        """What `save` wrote, or None where there is nothing yet.

        Raises:
            HelpersError: if the checkpoint is damaged, belongs to another run, or is of the package's first version.
        """
        if not self.path.exists():
            first = self.path.with_suffix(".safetensors")
            if first.exists():
                raise HelpersError(
                    f"{first} is of the first version of this package, whose runs cannot go on; start a new run in "
                    "another folder."
                )
            return None
        try:
            with zipfile.ZipFile(self.path) as file:
                broken = file.testzip()  # torch.load checks no checksums
            if broken:
                raise ValueError(f"{broken} does not match its checksum")
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            identity = content["identity"]
        except Exception as error:  # a damaged file can fail in many ways
            raise HelpersError(f"{self.path} is damaged ({error}); restore it, or delete it and start anew") from error
        difference = _first_difference(identity, self.identity)
        if difference:
            raise HelpersError(
                f"{self.path} belongs to another run: {difference}. Resume with the same options, or give the new "
                f"run a folder of its own (--weights {self.folder} starts it from what this one has learned)."
            )
        return content


def _first_difference(stored: Any, given: Any, name: str = "") -> str | None:
    """Where two descriptions of a run differ first, in words."""
    if stored == given:
        return None
    if isinstance(stored, dict) and isinstance(given, dict):
        keys = [key for key in stored if stored[key] != given.get(key)]  # what an older version did not note may be new
        if not keys:
            return None
        return _first_difference(stored.get(keys[0]), given.get(keys[0]), f"{name} {keys[0]}".strip())
    if isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        place = next(i for i in range(len(stored)) if stored[i] != given[i])
        return _first_difference(stored[place], given[place], f"{name} {place + 1}")
    return f"its {name} was {stored!r}, now it is {given!r}"
