"""Optimizers and learning-rate schedules for one phase."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from helpers.errors import HelpersError
from helpers.models.stages import parameter_groups
from helpers.training.strategies import Phase

OPTIMIZERS = ("adamw", "sgd")


def make_optimizer(model: nn.Module, phase: Phase, name: str, weight_decay: float) -> torch.optim.Optimizer:
    """An optimizer over the trainable stages of this phase, one group of rates per stage.

    Raises:
        HelpersError: for an unknown optimizer.
    """
    groups = parameter_groups(model, phase.lr, phase.layer_decay, weight_decay=weight_decay, head_lr=phase.head_lr)
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=_can_fuse(model))
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    raise HelpersError(f"optimizer {name!r} is not known; choose one of {', '.join(OPTIMIZERS)}")


def make_scheduler(optimizer: torch.optim.Optimizer, phase: Phase, steps: int) -> LRScheduler:
    """A phase's learning-rate schedule, to be stepped after every optimizer step.

    Args:
        optimizer: its groups hold the highest rates.
        phase: names the schedule and the warm-up.
        steps: optimizer steps in the whole phase.
    """
    if phase.schedule == "one-cycle" and steps > 1:
        rates = [group["lr"] for group in optimizer.param_groups]
        # A ramp of less than one step would divide by zero.
        rise = max(phase.warmup or 0.3, 1.5 / steps)
        return OneCycleLR(optimizer, max_lr=rates, total_steps=steps, pct_start=rise)
    ramp = round(phase.warmup * steps)
    main = _after_warmup(optimizer, phase.schedule, max(1, steps - ramp))
    if ramp < 1:
        return main
    rising = LinearLR(optimizer, start_factor=1 / (ramp + 1), total_iters=ramp)
    return SequentialLR(optimizer, [rising, main], milestones=[ramp])


def _after_warmup(optimizer: torch.optim.Optimizer, schedule: str, steps: int) -> LRScheduler:
    if schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if schedule == "step":
        return StepLR(optimizer, step_size=max(1, -(-steps // 3)), gamma=0.1)
    return ConstantLR(optimizer, factor=1.0)


def _can_fuse(model: nn.Module) -> bool:
    kinds = {parameter.device.type for parameter in model.parameters()}
    return kinds <= {"cpu", "cuda"}


def highest_lr(optimizer: torch.optim.Optimizer) -> float:
    """The highest learning rate of all groups, as it stands now."""
    return max(group["lr"] for group in optimizer.param_groups)
