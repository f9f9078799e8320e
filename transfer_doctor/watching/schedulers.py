"""Watch learning-rate schedulers step: how often, when, and in which order with the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from transfer_doctor.watching.gradients import Gradients
from transfer_doctor.watching.patching import Patches
from transfer_doctor.watching.record import Record, SchedulerStep


@dataclass(eq=False, slots=True)
class SchedulerRecord:
    """What one scheduler did in the block.

    Attributes:
        began_at: how many steps it had made before.
        steps: its steps, in order.
    """

    scheduler: Any
    began_at: int
    steps: list[SchedulerStep] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self.scheduler).__name__

    def per_epoch(self) -> list[tuple[int, int]]:
        """For each training pass in which the optimizer stepped: steps of the scheduler, steps of the optimizer."""
        passes = {id(s.source): s.source for s in self.steps if s.source is not None}
        return [(sum(s.source is p for s in self.steps), p.steps) for p in passes.values() if p.steps]

    def per_batch(self) -> bool:
        """Whether it is stepped about as often as the optimizer."""
        return any(mine >= 2 and mine >= 0.5 * others for mine, others in self.per_epoch())

    def once_per_epoch(self) -> bool:
        """Whether it is stepped no more than once an epoch, and the optimizer more often."""
        counts = self.per_epoch()
        return bool(counts) and all(mine <= 1 and others >= 2 for mine, others in counts)


class Schedulers:
    """Observes `step` of all schedulers, whether they were passed to `watch` or not."""

    def __init__(self, record: Record, gradients: Gradients, shown: list[Any]) -> None:
        self.record, self.gradients = record, gradients
        self.shown = [getattr(s, "scheduler", s) for s in shown]  # accelerate wraps it
        self.records: dict[int, SchedulerRecord] = {}
        self.not_seen: list[str] = []
        self._inside = 0

    def attach(self, patches: Patches) -> None:
        """Wrap `step` of every class of schedulers."""
        for cls in {LRScheduler, *_subclasses(LRScheduler)}:
            if "step" in cls.__dict__:
                patches.wrap(cls, "step", self._step)
        for scheduler in self.shown:
            try:
                patches.wrap_method_of(type(scheduler), "step", self._step)
                self._record_of(scheduler)
            except (StopIteration, TypeError):
                self.not_seen.append(type(scheduler).__name__)

    def of_model(self) -> list[SchedulerRecord]:
        """The schedulers that steer an optimizer of the model."""
        known = {id(r.optimizer) for r in self.gradients.optimizers.values()}
        return [r for r in self.records.values() if id(unwrapped(getattr(r.scheduler, "optimizer", None))) in known]

    def _record_of(self, scheduler: Any) -> SchedulerRecord:
        began = getattr(scheduler, "last_epoch", 0)
        return self.records.setdefault(
            id(scheduler), SchedulerRecord(scheduler, began if isinstance(began, int) else 0)
        )

    def _step(self, original: Callable, scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        being_made = getattr(scheduler, "_is_initial", False) or not hasattr(scheduler, "optimizer")
        if self.record.active and not self._inside and not being_made:
            self.record.safely("schedulers", self._note, scheduler, args, kwargs)
        self._inside += 1
        try:
            return original(scheduler, *args, **kwargs)
        finally:
            self._inside -= 1

    def _note(self, scheduler: Any, args: tuple, kwargs: dict) -> None:
        plateau = hasattr(scheduler, "patience")  # its argument is the metric
        optimizer = self.gradients.optimizers.get(id(unwrapped(scheduler.optimizer)))
        step = SchedulerStep(
            source=self.record.training_pass,
            place=self.record.place(),
            optimizer_steps=optimizer.steps if optimizer else 0,
            pending=bool(optimizer and any(f.waiting for f in optimizer.followed)),
            by_hand=not plateau and (bool(args) or kwargs.get("epoch") is not None),
        )
        self._record_of(scheduler).steps.append(step)


def unwrapped(optimizer: Any) -> Any:
    """The optimizer inside a wrapper such as accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


def _subclasses(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
