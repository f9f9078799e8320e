"""The `with` block around a training loop: what is watched, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from transfer_doctor.report import Diagnosis
from transfer_doctor.watching import catalogue  # noqa: F401  (registers the checks)
from transfer_doctor.watching.checks import examine
from transfer_doctor.watching.watcher import Watch


def watch(
    model: nn.Module,
    optimizer: Any = None,
    train_loader: Iterable | None = None,
    val_loader: Iterable | None = None,
    *,
    scheduler: Any = None,
    criterion: Callable | None = None,
    test_loader: Iterable | None = None,
) -> Watch:
    """Watch a training loop, which stays as it is, and name the mistakes in it.

    Your loop goes into the block::

        with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
            for epoch in range(2):
                train_one_epoch(...)
                validate(...)
        seen.diagnosis

    Two epochs show more than one. Nothing is changed: weights, random states and results are the same to the last bit
    with and without it, and everything is taken off when the block ends or raises. It observes through hooks on the
    model, its state dict, its optimizers and some of its parameters, through a `TorchFunctionMode`, and through
    wrapped `__iter__` and `step` of the loaders' and schedulers' classes.

    Args:
        model: the network; compiled or wrapped in (Distributed)DataParallel too.
        optimizer: its optimizer, or several in a list or dictionary. Others that step are found all the same.
        train_loader: any iterable but a generator.
        val_loader: likewise.
        scheduler: its scheduler, or several in a list. Others that step are found all the same.
        criterion: the loss, where it is a module of your own; those of PyTorch are seen without it.
        test_loader: the loader of the test images, where the loop reads it.

    Returns:
        A context manager whose `diagnosis` says what was found.
    """
    loaders = {"train": train_loader, "val": val_loader, "test": test_loader}
    optimizers = [getattr(each, "optimizer", each) for each in _several(optimizer)]
    return Watch(model, optimizers, loaders, _several(scheduler), criterion, _diagnose)


def _diagnose(seen: Watch) -> Diagnosis:
    outcome = examine(seen)
    return Diagnosis(outcome.findings, outcome.not_checked, outcome.seconds, outcome.done)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]
