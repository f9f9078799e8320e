"""One optimizer or several, one scheduler or several: looked at in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class OptimizerGroup:
    """Several optimizers that are stepped one after another, with the interface of one.

    Attributes:
        optimizers: the optimizers.
        param_groups: the very groups of all of them, in order.
    """

    def __init__(self, optimizers: list[Any]) -> None:
        self.optimizers = optimizers
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Take the gradients away from the parameters of all."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self, closure: Callable | None = None) -> Any:
        """Compute the loss once, then step each."""
        loss = None if closure is None else closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss


def as_one(optimizer: Any) -> Any:
    """One optimizer, without accelerate's wrapper; a list, tuple or dictionary of several becomes a group."""
    several = _listed(optimizer)
    if several is None:
        optimizer = inside(optimizer, "optimizer")
        return optimizer if hasattr(optimizer, "param_groups") else None
    several = [inside(one, "optimizer") for one in several]
    return OptimizerGroup(several) if several and all(hasattr(one, "param_groups") for one in several) else None


def each_optimizer(optimizer: Any) -> list[Any]:
    """The single optimizers behind what `as_one` gave."""
    return getattr(optimizer, "optimizers", None) or ([] if optimizer is None else [optimizer])


def each_scheduler(scheduler: Any) -> list[Any]:
    """All schedulers: those of a list, and those that one is put together from, without accelerate's wrappers."""
    several = _listed(scheduler)
    if several is not None:
        return [part for one in several for part in each_scheduler(one)]
    scheduler = inside(scheduler, "scheduler")
    if scheduler is None:
        return []
    inner = getattr(scheduler, "_schedulers", None) or ()
    return [scheduler, *(part for one in inner for part in each_scheduler(one))]


def inside(wrapper: Any, attribute: str) -> Any:
    """The object inside accelerate's `AcceleratedOptimizer` or `AcceleratedScheduler`."""
    return getattr(wrapper, attribute) if type(wrapper).__name__.startswith("Accelerated") else wrapper


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else None
