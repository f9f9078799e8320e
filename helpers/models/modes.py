"""Train and eval mode: a block in eval mode, and frozen modules that stay in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluate a model in a `with` block; afterwards every module is back in its own mode, train or eval."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


def hold_in_eval(model: nn.Module, frozen_stages: Iterable[tuple[nn.Module, ...]]) -> None:
    """Give each module that has to stay in eval mode a `train` method of its own, which its parents' `train()` calls.

    It leaves the state_dict alone and survives `copy.deepcopy`, pickling, DistributedDataParallel and `torch.compile`.

    Args:
        model: any network; modules that are not named follow `train()` as usual.
        frozen_stages: the modules of each frozen stage, which stay in eval mode until a parameter of theirs takes a
            gradient again. Modules marked by `frozen_statistics = True` always stay in it.
    """
    held = {module: modules for modules in frozen_stages for module in modules}
    held |= {module: () for module in model.modules() if getattr(module, "frozen_statistics", False)}
    for module in model.modules():
        if module.__dict__.pop("train", None):
            module.train(model.training)
    for module, modules in held.items():
        module.__dict__["train"] = partial(_train_if_unfrozen, module, modules)
        module.eval()


def _train_if_unfrozen(module: nn.Module, stage: tuple[nn.Module, ...], mode: bool = True) -> nn.Module:
    """Stands in for `module.train`: in train mode only while a parameter of the stage takes a gradient."""
    trainable = any(parameter.requires_grad for part in stage for parameter in part.parameters())
    return type(module).train(module, mode and trainable)
