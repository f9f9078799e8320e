"""Watch gradients come and go: backward, zero_grad, clipping, step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from transfer_doctor.watching.functions import Functions
from transfer_doctor.watching.record import Happening, Pass, Record

MEASURED_FULLY = 8  # steps at the start whose gradients are measured; afterwards every eighth
FEW = 6  # parameters followed in each optimizer


@dataclass(eq=False, slots=True)
class Followed:
    """One parameter whose gradient is followed from backward to step.

    Attributes:
        waiting: a gradient came that no step has used.
        used: a step has used the gradient that is there now.
        carried: the gradient holds parts that a step has used already.
        version: version of the weights when the gradient came.
        steps: steps of any optimizer when the gradient came.
        norm: norm of the gradients that came since the last step.
    """

    name: str
    parameter: nn.Parameter
    handle: Any = None
    waiting: bool = False
    used: bool = False
    carried: bool = False
    version: int = 0
    steps: int = 0
    norm: torch.Tensor | float = 0.0
    lost_at: str = ""


@dataclass(slots=True)
class OptimizerRecord:
    """What one optimizer did in the block.

    Attributes:
        steps: how often it stepped.
        carried: steps with gradients that an earlier step had used already.
        emptied: steps after a backward whose gradients were cleared in between.
        idle: steps without a backward since the last one.
        lost: backward passes whose gradients were cleared before any step.
        backwards: backward passes that reached its followed parameter.
        norms: for each measured step: where, the norm of all gradients, and what was left of a followed one.
        measured: how often each parameter's gradient was measured, by name.
        learning: names of parameters that had a gradient other than zero in some measured step.
        rates: the sum of its groups' learning rates at each step.
        moved_frozen: names of frozen parameters that its steps changed, and where first.
        zero_but_moved: values of parameters whose gradient was zero, when that was first seen.
    """

    optimizer: Optimizer
    steps: int = 0
    reached: int = 0  # calls of the model that backward had reached when it last stepped
    backwards: int = 0
    carried: Happening = field(default_factory=Happening)
    emptied: Happening = field(default_factory=Happening)
    idle: Happening = field(default_factory=Happening)
    lost: Happening = field(default_factory=Happening)
    norms: list[tuple[str, float, float]] = field(default_factory=list)
    measured: Counter[str] = field(default_factory=Counter)
    learning: set[str] = field(default_factory=set)
    zero_but_moved: dict[str, torch.Tensor] = field(default_factory=dict)
    rates: list[tuple[Pass | None, float]] = field(default_factory=list)
    moved_frozen: dict[str, str] = field(default_factory=dict)
    followed: list[Followed] = field(default_factory=list)


class Gradients:
    """Observes gradients through hooks on a few parameters and on the steps of all optimizers.

    Attributes:
        optimizers: what each optimizer of the model did, by its `id`.
        steps: steps of optimizers that hold some of the model's parameters.
        foreign_steps: steps of the others.
        roles: roles of the loaders whose batches the present gradients come from.
        from_validation: steps with gradients from validation or test images.
    """

    def __init__(self, record: Record, functions: Functions, names: dict[str, nn.Parameter]) -> None:
        self.record, self.functions = record, functions
        self.names = {id(p): name for name, p in names.items()}
        self.optimizers: dict[int, OptimizerRecord] = {}
        self.foreign_steps = 0
        self.steps = 0
        self.all_steps = 0
        self.roles: set[str] = set()
        self.from_validation = Happening()
        self._in_step = False
        self._frozen: dict[str, tuple[nn.Parameter, torch.Tensor]] = {}

    def attach(self, optimizers: Iterable[Optimizer]) -> list[Any]:
        """Follow the optimizers, and any other that steps; returns handles that remove the hooks."""
        for optimizer in optimizers:
            self._record_of(optimizer)
        return [
            register_optimizer_step_pre_hook(lambda o, args, kwargs: self._observe(self._before_step, o)),
            register_optimizer_step_post_hook(lambda o, args, kwargs: self._observe(self._after_step, o)),
        ]

    def detach(self) -> None:
        """Remove the hooks from the parameters."""
        for record in self.optimizers.values():
            for each in record.followed:
                each.handle.remove()

    def follow(self) -> None:
        """Follow the last trainable parameter of each group.

        Called before each call of the model, as parameters are frozen and unfrozen while training goes on.
        """
        for record in self.optimizers.values():
            if not record.followed or record.steps < MEASURED_FULLY or not record.steps % MEASURED_FULLY:
                self._follow_groups(record)

    def _follow_groups(self, record: OptimizerRecord) -> None:
        known = {id(f.parameter) for f in record.followed}
        for group in record.optimizer.param_groups[-FEW:]:
            last = next((p for p in reversed(group["params"]) if p.requires_grad), None)
            if last is not None and id(last) not in known and len(record.followed) < FEW:
                each = Followed(self.names.get(id(last), "a parameter"), last, steps=self.all_steps)
                each.used = last.grad is not None and record.steps > 0
                each.handle = last.register_hook(lambda g, each=each, r=record: self._observe(self._come, each, r, g))
                record.followed.append(each)

    def _observe(self, function: Any, *args: Any) -> None:
        if self.record.active:
            self.record.safely("gradients", function, *args)

    def _record_of(self, optimizer: Optimizer) -> OptimizerRecord | None:
        if id(optimizer) not in self.optimizers:
            held = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if not held & set(self.names):
                return None
            self.optimizers[id(optimizer)] = OptimizerRecord(optimizer)
            self._follow_groups(self.optimizers[id(optimizer)])
        return self.optimizers[id(optimizer)]

    def _come(self, each: Followed, record: OptimizerRecord, gradient: torch.Tensor) -> None:
        """A gradient is about to be added to what is there."""
        old = each.parameter.grad
        clean = old is None or not bool(old.any())
        record.backwards += each is record.followed[0]
        if fresh := self.record.take_reached():
            self.roles = set(fresh) if clean else self.roles | set(fresh)
        if clean:
            unchanged = each.version == each.parameter._version and each.steps == self.all_steps
            if each.waiting and unchanged and not self._in_step:
                record.lost.note(each.lost_at)
            each.carried, each.norm = False, 0.0
        elif each.used:
            each.carried = True
        each.waiting, each.used = True, False
        each.version, each.steps, each.lost_at = each.parameter._version, self.all_steps, self.record.place()
        each.norm = each.norm + gradient.detach().norm()

    def _before_step(self, optimizer: Optimizer) -> None:
        record = self._record_of(optimizer)
        self._in_step = True
        self._frozen = {}
        if record is None:
            return
        for group in optimizer.param_groups:
            for p in group["params"]:
                if not p.requires_grad and p.grad is not None and id(p) in self.names:
                    self._frozen[self.names[id(p)]] = (p, p.detach().clone())

    def _after_step(self, optimizer: Optimizer) -> None:
        self._in_step = False
        record = self._record_of(optimizer)
        self.all_steps += 1
        if record is None:
            self.foreign_steps += 1
            return
        self.steps += 1
        record.steps += 1
        place = self.record.place()
        source = self.record.training_pass
        for stepping in self.record.stepping:
            stepping.steps += 1
        self.record.stepping = []
        record.rates.append((source, sum(float(group["lr"]) for group in optimizer.param_groups)))
        for name, (p, before) in self._frozen.items():
            if name not in record.moved_frozen and not torch.equal(p, before):
                record.moved_frozen[name] = place
        if self.roles & {"val", "test"}:
            self.from_validation.note(self.record.last_call or place)
        measured = record.steps <= MEASURED_FULLY or record.steps % MEASURED_FULLY == 0
        if measured:
            self._measure(record, place)
        self._use(record, place)

    def _use(self, record: OptimizerRecord, place: str) -> None:
        """A step has used the gradients; decide from the followed parameters what kind of step it was."""
        full = [f for f in record.followed if f.parameter.grad is not None and bool(f.parameter.grad.any())]
        if any(f.carried for f in full):
            record.carried.note(place)
        waiting = [f for f in record.followed if f.waiting]
        if not waiting and record.reached == self.record.reached:
            record.idle.note(place)
        elif waiting and not full and not _has_gradient(record.optimizer):
            record.emptied.note(place)
        record.reached = self.record.reached
        for each in record.followed:
            each.waiting, each.used = False, each in full

    def _measure(self, record: OptimizerRecord, place: str) -> None:
        held = [p for group in record.optimizer.param_groups for p in group["params"] if p.requires_grad]
        named = {self.names.get(id(p), f"parameter {i}"): p for i, p in enumerate(held)}
        grads = {name: p.grad for name, p in named.items() if p.grad is not None and not p.grad.is_sparse}
        norms = torch._foreach_norm([grad.detach() for grad in grads.values()]) if grads else []
        values = torch.stack([norm.float() for norm in norms]).tolist() if norms else []
        measured = dict(zip(grads, values, strict=True))
        record.measured.update(named.keys())
        record.learning |= {name for name, value in measured.items() if value}
        total = sum(value**2 for value in values) ** 0.5
        record.norms.append((place, total, self._left(record)))
        for name, p in named.items():
            if p.grad is not None and name not in record.learning and name not in record.zero_but_moved:
                record.zero_but_moved[name] = p.detach().flatten()[:64].clone()

    def _left(self, record: OptimizerRecord) -> float:
        """What clipping left of the gradients: 1 for all, 0 for nothing; loss scaling is taken out."""
        scale = 1.0
        if self.functions.scaled is not None:
            backward, loss = (float(x) for x in self.functions.scaled)
            scale = backward / loss if loss and abs(backward / loss) > 100 else 1.0
        left = [
            float(f.parameter.grad.norm()) / float(f.norm) * scale
            for f in record.followed
            if f.waiting and f.parameter.grad is not None and float(f.norm) > 0
        ]
        return max(left, default=1.0)


def _has_gradient(optimizer: Optimizer) -> bool:
    grads = (p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
    return any(bool(grad.any()) for grad in grads)
