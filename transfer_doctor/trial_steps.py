"""A few optimizer steps on a copy, at the highest rates that are to come, and what they do."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell
from transfer_doctor.inputs import TRIAL_IMAGES
from transfer_doctor.optimizers import each_optimizer, inside

STEPS = 4


@dataclass(frozen=True)
class TrialSteps:
    """What trial steps did.

    Attributes:
        changes: full parameter name -> change by the first step at full rate, as a fraction of the parameter's norm.
        losses: before the first step and after each step, on the images that the steps learn from.
        others: before the first and after the last step, on other images of the training split; empty without such.
    """

    changes: dict[str, float]
    losses: list[float]
    others: list[float]

    @property
    def rise(self) -> float:
        """The highest loss after a step over the first loss (at least half a nat, so that 0.01 can double)."""
        later = [loss if loss == loss else float("inf") for loss in self.losses[1:]]
        return max(later) / max(self.losses[0], 0.5)

    def worse_than_guessing(self, classes: int) -> float:
        """How far the loss on other images ends above guessing, and above where it began; 0 without such images."""
        if not self.others:
            return 0.0
        last = self.others[-1] if self.others[-1] == self.others[-1] else float("inf")
        return last - max(self.others[0], math.log(max(2, classes)))


def peak_rates(case: Case) -> list[float]:
    """The highest learning rate that each group has or will have, as far as the schedule tells."""
    return [
        max([float(group["lr"]), *(rate for one in case.schedulers for rate in _to_come(one, optimizer, index))])
        for optimizer in each_optimizer(case.optimizer)
        for index, group in enumerate(optimizer.param_groups)
    ]


def _to_come(scheduler: Any, optimizer: Any, index: int) -> list[float]:
    """Rates that a scheduler will give one group of its optimizer, as far as that is known."""
    if inside(getattr(scheduler, "optimizer", None), "optimizer") is not optimizer:
        return []
    group = optimizer.param_groups[index]
    functions = getattr(scheduler, "lr_lambdas", None)
    if functions:
        base = float(group.get("initial_lr", group["lr"]))
        return [base * factor for factor in factors(functions[min(index, len(functions) - 1)])]
    peaks = list(getattr(scheduler, "max_lrs", ()))[index : index + 1]
    starting = getattr(scheduler, "last_epoch", 0) <= 0
    return [float(group.get("max_lr", 0)), float(group.get("initial_lr", 0)) if starting else 0.0, *map(float, peaks)]


def factors(function: Callable[[int], float]) -> list[float]:
    """What the function of a `LambdaLR` gives over a long run."""
    found = []
    for epoch in (*range(20), *(10 * 2**i for i in range(1, 12))):
        try:
            found.append(float(function(epoch)))
        except Exception:  # a table that ends
            break
    return found


def warms_up(case: Case) -> bool:
    """Whether the schedule starts well below its highest rate."""
    now = [float(group["lr"]) for group in case.optimizer.param_groups]
    return any(rate < peak / 2 for rate, peak in zip(now, peak_rates(case), strict=True))


def ready_to_learn(case: Case) -> tuple[torch.nn.Module, Any, Callable]:
    """Copies of model, optimizer and loss, in the mode in which the model is to train, but without dropout.

    Raises:
        CannotTell: if the model does not take images alone.
    """
    if case.arguments > 1:
        raise CannotTell(f"the model takes {case.arguments} inputs, not images alone")
    model_copy, optimizer = case.copies()
    if not model_copy.training:  # of a model in train mode, parts in eval mode are there on purpose
        model_copy.train()
    for module in model_copy.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.eval()
    return model_copy, optimizer, copy.deepcopy(case.criterion) or torch.nn.functional.cross_entropy


def take_trial_steps(case: Case, only: Collection[str] | None = None) -> TrialSteps:
    """Train a copy for a few steps on one small batch, without dropout, so that the loss should fall.

    A schedule that warms up is followed in fast motion: the rate rises step by step to its peak.

    Args:
        case: what was given.
        only: full names of the parameters that may move; all that learn when left out.

    Raises:
        CannotTell: if model, loss or optimizer raise; other checks report that.
    """
    model_copy, optimizer, criterion = ready_to_learn(case)
    few = case.affordable
    sample, labels = case.batch[0][:few], case.batch[1][:few]
    learning = {n: p for n, p in model_copy.named_parameters() if p.requires_grad and (only is None or n in only)}
    for name, parameter in model_copy.named_parameters():
        parameter.requires_grad_(name in learning)
        parameter.grad = None
    before = {name: p.detach().clone() for name, p in learning.items()}
    peaks, ramp, steps = peak_rates(case), warms_up(case), STEPS if few == TRIAL_IMAGES else STEPS - 1
    now = [float(group["lr"]) for group in optimizer.param_groups]
    changes: dict[str, float] = {}
    losses: list[float] = []
    others: list[float] = []

    def on_others() -> None:
        if len(case.other_batch[0]) >= few // 2:
            others.append(loss_now(case.other_batch[0][:few], case.other_batch[1][:few]))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = case.loss(criterion, case.run(model_copy, sample), labels)
        loss.backward()
        return loss

    def loss_now(images: torch.Tensor, targets: torch.Tensor) -> float:
        with torch.no_grad():
            return float(case.loss(criterion, case.run(model_copy, images), targets))

    try:
        on_others()
        for step in range(steps):
            fraction = (step + 1) / steps if ramp else 1.0
            for group, start, peak in zip(optimizer.param_groups, now, peaks, strict=True):
                set_rate(group, start if ramp and step == 0 else peak * fraction)
            losses.append(float(optimizer.step(closure).detach()))
            if step == 0:
                changes = {n: _change(p, before[n]) for n, p in learning.items()}
        losses.append(loss_now(sample, labels))
        on_others()
    except Exception as error:  # reported by the checks of the model, the loss and the loader
        raise CannotTell(f"a trial step raised {type(error).__name__}: {error}") from error
    return TrialSteps(changes, losses, others)


def all_trial_steps(case: Case) -> TrialSteps:
    """`take_trial_steps` of all that learns, taken once for all checks."""
    if "_trial_steps" not in case.__dict__:
        case.__dict__["_trial_steps"] = take_trial_steps(case)
    return case.__dict__["_trial_steps"]


def _change(parameter: torch.Tensor, before: torch.Tensor) -> float:
    return float((parameter.detach() - before).norm() / before.norm().clamp_min(1e-12))


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Give a parameter group another rate, in the form in which it keeps its own."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
