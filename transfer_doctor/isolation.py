"""Leaving everything as it was: random states, modes, buffers, gradients; copies to experiment on."""

from __future__ import annotations

import copy
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from transfer_doctor.optimizers import each_optimizer

# Hooks of these libraries are part of how a module computes (weight norm, offloading); any other hook is the
# learner's own and must not hear of the doctor's forward passes.
LIBRARIES = {"torch", "torchvision", "timm", "transformers", "accelerate", "peft"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
WRAPPERS = ("_orig_mod", "module")  # torch.compile; DistributedDataParallel and DataParallel


def unwrap(model: nn.Module) -> nn.Module:
    """The learner's module inside `torch.compile`, `DistributedDataParallel` and `DataParallel`."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if "_orig_mod" in model._modules:
            model = model._orig_mod
        elif isinstance(model, parallel):
            model = model.module
        else:
            return model


@contextmanager
def isolation(model: nn.Module | None) -> Iterator[None]:
    """Put random states, modules' modes, buffers and gradients back at the end, whatever happened in between.

    The checks work on copies; this catches what reaches the original all the same, such as a patched `train`
    method that still refers to it.
    """
    modules = list(model.modules()) if model is not None else []
    modes = [module.training for module in modules]
    buffers = [(buffer, buffer._version, buffer.detach().clone()) for module in modules for buffer in _buffers(module)]
    gradients = [(p, p.grad, None if p.grad is None else p.grad._version) for p in _parameters(model)]
    kept = [None if grad is None else grad.detach().clone() for _, grad, _ in gradients]
    states = random_states()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        restore_random_states(states)
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        with torch.no_grad():
            for buffer, version, values in buffers:
                if buffer._version != version:
                    buffer.copy_(values)
            for (parameter, grad, version), values in zip(gradients, kept, strict=True):
                parameter.grad = grad
                if grad is not None and grad._version != version:
                    grad.copy_(values)


def random_states() -> dict[str, Any]:
    """The states of the global random generators of torch (all devices), NumPy and Python."""
    numpy = sys.modules.get("numpy")
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None,
        "numpy": numpy.random.get_state() if numpy else None,
        "python": random.getstate(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the global random generators to what `random_states` returned."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state_all(states["cuda"])
    if states["numpy"] is not None:
        sys.modules["numpy"].random.set_state(states["numpy"])
    random.setstate(states["python"])


def copies(model: nn.Module, optimizer: Any = None) -> tuple[nn.Module, Any]:
    """Copies of a model and of the optimizer that holds its parameters, free of the learner's own hooks.

    Gradients are copied too, since an optimizer acts on what is left over in them.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in [*vars(module).values(), *module._buffers.values()]:
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    model_copy, optimizer_copy = copy.deepcopy((model, optimizer), memo)
    for mine, theirs in zip(model_copy.parameters(), model.parameters(), strict=True):
        mine.grad = None if theirs.grad is None else theirs.grad.detach().clone()
    for module in model_copy.modules():
        module._compiled_call_impl = None
        for hooks in (getattr(module, name) for name in HOOKS):
            for key in [key for key, hook in hooks.items() if _package(hook) not in LIBRARIES]:
                del hooks[key]
    for one in each_optimizer(optimizer_copy):
        one._optimizer_step_pre_hooks.clear()
        one._optimizer_step_post_hooks.clear()
    return model_copy, optimizer_copy


def _package(hook: Any) -> str:
    module = getattr(hook, "__module__", None) or type(hook).__module__
    return module.split(".")[0]


def _buffers(module: nn.Module) -> list[torch.Tensor]:
    return [buffer for buffer in module._buffers.values() if buffer is not None]


def _parameters(model: nn.Module | None) -> list[nn.Parameter]:
    return list(model.parameters()) if model is not None else []
