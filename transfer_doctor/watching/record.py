"""What happened inside the block: passes over the loaders, batches, calls of the model, steps."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

RECENT = 8  # batches whose labels are remembered


@dataclass(eq=False, slots=True)
class Pass:
    """One iteration over one loader.

    Attributes:
        role: `train`, `val`, `test`, or `other` for a loader that was not passed to `watch`.
        number: how many passes over loaders of this role had begun, this one included.
        after_epoch: how many training epochs had begun before this pass.
        epoch: number of the training epoch that this pass is; 0 as long as it brought no gradient.
        sizes: images of each batch.
        complete: whether the loader came to its end.
        steps: optimizer steps made during the pass.
        graphs: graphs that were still held at its end, and how many there had been.
        wrong_average: what `loop_variables` found in the loop's own variables, if anything.
    """

    role: str
    number: int
    after_epoch: int
    epoch: int = 0
    sizes: list[int] = field(default_factory=list)
    complete: bool = False
    steps: int = 0
    graphs: tuple[int, int] = (0, 0)
    wrong_average: Any = None

    def place(self, batch: int) -> str:
        """`epoch 2, batch 5`, or the same for a pass that trains nothing."""
        if self.epoch:
            return f"epoch {self.epoch}, batch {batch}"
        if self.role == "train":
            return f"pass {self.number} over the training loader, batch {batch}"
        names = {"val": "the validation", "test": "the test"}
        when = f"after epoch {self.after_epoch}" if self.after_epoch else "before the first epoch"
        return f"{names.get(self.role, 'another loader')} {when}, batch {batch}"


@dataclass(eq=False, slots=True)
class Batch:
    """One batch as a loader gave it: its place, its tensors (not kept alive), its labels, a few pixels."""

    source: Pass
    index: int
    size: int
    tensors: list[weakref.ref]
    labels: torch.Tensor | None
    pixels: torch.Tensor | None

    def __str__(self) -> str:
        return self.source.place(self.index)


@dataclass(eq=False, slots=True)
class Call:
    """One call of the model.

    Attributes:
        number: 1 for the first call in the block.
        batch: the batch that was its input, `None` where that cannot be told.
        exact: whether its input is known to hold the images of `batch` in their order.
        training: `model.training`.
        batch_norms: BatchNorm layers that used the statistics of the batch.
        dropouts: dropout layers that dropped something.
        held_norms: BatchNorm layers in eval mode though their weights are trainable.
        shape: shape of the outputs.
        has_graph: whether the outputs carry a graph for backward.
        graph: reference to something that lives as long as that graph.
        reached: whether a backward pass came through the outputs.
        correct: images classified correctly, where the labels are known (a tensor without axes).
    """

    number: int
    batch: Batch | None
    exact: bool
    training: bool
    batch_norms: int
    dropouts: int
    held_norms: int = 0
    shape: tuple[int, ...] = ()
    has_graph: bool = False
    graph: weakref.ref | None = None
    reached: bool = False
    correct: torch.Tensor | None = None

    @property
    def role(self) -> str:
        """Role of the loader that the input came from; `""` where that cannot be told."""
        return self.batch.source.role if self.batch else ""

    @property
    def graph_is_alive(self) -> bool:
        """Whether something still holds the graph of this call."""
        return self.graph is not None and self.graph() is not None

    def __str__(self) -> str:
        return str(self.batch) if self.batch else f"call {self.number} of the model"


@dataclass(eq=False, slots=True)
class SchedulerStep:
    """One step of a scheduler.

    Attributes:
        source: the training pass it belongs to, `None` before the first.
        place: where it happened, for a sentence.
        optimizer_steps: steps of its optimizer so far in the block.
        pending: whether gradients were waiting for the optimizer's step.
        by_hand: whether the loop passed the epoch as a number.
    """

    source: Pass | None
    place: str
    optimizer_steps: int
    pending: bool
    by_hand: bool


@dataclass(slots=True)
class Happening:
    """Something wrong that was seen: how often, and where first."""

    times: int = 0
    first: Any = ""

    def note(self, place: Any) -> None:
        """Count once more; the place is named when it is read, as an epoch gets its number by its first gradient."""
        self.times += 1
        self.first = self.first or place


class Record:
    """Everything that was seen; the observers write it, the checks read it."""

    def __init__(self) -> None:
        self.active = True
        self.loading = 0  # inside a loader's own code: nothing there is the learner's loop
        self.passes: list[Pass] = []
        self.calls: list[Call] = []
        self.epochs = 0
        self.recent: deque[Batch] = deque(maxlen=RECENT)
        self.unused: list[Batch] = []  # handed out since the last call of the model
        self.reached = 0  # calls of the model that a backward pass came through
        self.stepping: list[Pass] = []  # passes whose batches backward reached since the last step
        self._fresh: list[str] = []
        self.failures: dict[str, str] = {}

    @property
    def last_call(self) -> Call | None:
        """The latest call of the model."""
        return self.calls[-1] if self.calls else None

    @property
    def training_pass(self) -> Pass | None:
        """The latest pass that brought gradients, over the training loader where there is one."""
        trained = [p for p in self.passes if p.epoch]
        return next((p for p in reversed(trained) if p.role == "train"), trained[-1] if trained else None)

    def place(self) -> str:
        """Where the loop is now."""
        return str(self.last_call or (self.recent[-1] if self.recent else "the beginning of the block"))

    def begin(self, role: str) -> Pass:
        """A loader begins to be iterated."""
        number = 1 + sum(p.role == role for p in self.passes)
        self.passes.append(Pass(role, number, self.epochs))
        return self.passes[-1]

    def reach(self, call: Call) -> None:
        """A backward pass came through this call of the model."""
        self.reached += not call.reached
        call.reached = True
        self._fresh.append(call.role)
        source = call.batch.source if call.batch else None
        if source is None:
            return
        if source not in self.stepping:
            self.stepping.append(source)
        if source.role in ("train", "other") and not source.epoch:
            beside = next((p for p in self.passes if p.epoch and not p.complete and p.role in ("train", "other")), None)
            source.epoch = beside.epoch if beside and source.role == "other" else self.epochs + 1
            self.epochs = max(self.epochs, source.epoch)

    def take_reached(self) -> list[str]:
        """Roles of the loaders whose batches backward reached since this was last asked, or the model last called."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def of_role(self, *roles: str) -> list[Call]:
        """Calls of the model on batches from loaders of these roles."""
        return [call for call in self.calls if call.role in roles]

    def safely(self, name: str, function: Callable, *args: Any) -> Any:
        """Call an observer's function; what it raises never stops the learner's work, and is remembered."""
        try:
            return function(*args)
        except Exception as error:
            self.failures.setdefault(name, f"{type(error).__name__}: {error}")
            return None
