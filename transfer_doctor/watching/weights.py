"""What the weights were before the block, and what the loop keeps of them: copies or references."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from transfer_doctor.watching.batches import tensors_in
from transfer_doctor.watching.gradients import Gradients
from transfer_doctor.watching.model_calls import Hook, named_parameters, unwrapped
from transfer_doctor.watching.record import Record

SLICE = 64  # values of each parameter that are remembered
Statistics = dict[str, tuple[torch.Tensor, torch.Tensor]]  # running means and variances by layer
CHECKPOINT = {"epoch", "optimizer", "optimizer_state_dict", "scheduler", "lr_scheduler", "args", "config", "step"}


@dataclass(eq=False, slots=True)
class Kept:
    """A state dict that the loop asked for.

    Attributes:
        tensor: reference to one of its tensors, which it shares with the model unless it was copied.
        place: where it was asked for.
        steps: optimizer steps until then.
        loaded: whether the loop loaded it back.
    """

    tensor: weakref.ref
    place: str
    steps: int
    loaded: bool = False


class Weights:
    """Remembers what is small, and compares it when the block ends."""

    def __init__(self, record: Record, gradients: Gradients, model: nn.Module) -> None:
        self.record, self.gradients, self.model = record, gradients, unwrapped(model)
        self.parameters = named_parameters(self.model)
        self.frozen = {
            name: p.detach().flatten()[:SLICE].clone() for name, p in self.parameters.items() if not p.requires_grad
        }
        matrices = [p for p in self.parameters.values() if p.ndim in (2, 4)]
        self.ends = {"first": matrices[0], "last": matrices[-1]} if matrices else {}
        self.ends_before = {end: p.detach().flatten()[:SLICE].clone() for end, p in self.ends.items()}
        self.versions = sum(p._version for p in self.parameters.values())
        self.statistics = self.batch_norm_statistics()
        self.frozen_at_start = self.frozen_batch_norms()
        self.statistics_at_load: Statistics | None = None
        self.kept: list[Kept] = []
        self.loads = 0

    def attach(self) -> list[Any]:
        """Observe `state_dict` and `load_state_dict`; returns handles that remove the hooks."""
        kept = Hook(lambda module, state, *rest: module is self.model and self._keep(state))
        loaded = Hook(lambda module, state, *rest: module is self.model and self._load(state))
        return [
            self.model.register_state_dict_post_hook(kept),
            self.model.register_load_state_dict_pre_hook(loaded),
        ]

    def batch_norm_statistics(self) -> Statistics:
        """Copies of running mean and variance by name of the layer."""
        return {
            name: (module.running_mean.detach().clone(), module.running_var.detach().clone())
            for name, module in self.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        }

    def drifted(self) -> dict[str, tuple[float, float]]:
        """How far the statistics of frozen BatchNorm layers moved, until weights were loaded back; see `drift`.

        Layers whose frozen weights moved too are left out: momentum copies of another part, as in MoCo.
        """
        now = self.statistics_at_load or self.batch_norm_statistics()
        frozen = self.frozen_at_start & self.frozen_batch_norms()
        still = {name.rpartition(".")[0] for name in set(self.frozen) - set(self.moved_frozen())}
        return {name: moved for name, moved in drift(self.statistics, now).items() if name in frozen & still}

    def moved_frozen(self) -> list[str]:
        """Names of parameters that were frozen before the block, are frozen now, and changed."""
        return [
            name
            for name, before in self.frozen.items()
            if not (p := self.parameters[name]).requires_grad
            and not torch.equal(before, p.detach().flatten()[: len(before)])
        ]

    def frozen_batch_norms(self) -> set[str]:
        """BatchNorm layers whose weight and bias are frozen."""
        return {
            name
            for name, module in self.model.named_modules()
            if name in self.statistics
            and module.affine
            and not module.weight.requires_grad
            and not module.bias.requires_grad
        }

    def moved(self) -> bool:
        """Whether any parameter was written to in the block."""
        return sum(p._version for p in self.parameters.values()) != self.versions

    def share(self, value: Any) -> bool:
        """Whether something is the model, or a list or dictionary of tensors in the model's memory."""
        own = {p.data_ptr() for p in self.parameters.values()}
        if isinstance(value, nn.Module):
            return unwrapped(value) is self.model
        return isinstance(value, list | tuple | dict) and any(t.data_ptr() in own for t in tensors_in(value))

    def references(self) -> Iterator[Kept]:
        """State dicts that share the model's memory and were loaded back, or are still held though training went on."""
        for kept in self.kept:
            tensor = kept.tensor()
            held = tensor is not None and not self.loads and kept.steps < self.gradients.steps
            if kept.loaded or (held and not _in_checkpoint(tensor)):
                yield kept

    def _keep(self, state: dict[str, Any]) -> None:
        if not self.record.active:
            return
        tensor = next((t for t in state.values() if isinstance(t, torch.Tensor) and t.is_floating_point()), None)
        own = {p.data_ptr() for p in self.parameters.values()}
        if tensor is not None and tensor.data_ptr() in own:
            self.kept.append(Kept(weakref.ref(tensor), self.record.place(), self.gradients.steps))

    def _load(self, state: dict[str, Any]) -> None:
        if not self.record.active:
            return
        self.loads += 1
        if self.statistics_at_load is None:
            self.statistics_at_load = self.batch_norm_statistics()
        held = {id(value) for value in state.values()}
        for kept in self.kept:
            if kept.tensor() is not None and id(kept.tensor()) in held and self.gradients.steps:
                kept.loaded = True


def drift(before: Statistics, after: Statistics) -> dict[str, tuple[float, float]]:
    """How far BatchNorm statistics moved, for each layer that moved.

    Returns:
        By name: the mean shift of the running means in their own standard deviations, and the factor by which
        the running variances changed (at least 1, geometric mean).
    """
    moved = {}
    for name, (mean, variance) in before.items():
        new_mean, new_variance = after[name]
        if not (torch.equal(mean, new_mean) and torch.equal(variance, new_variance)):
            shift = ((new_mean - mean).abs() / (variance + 1e-5).sqrt()).mean()
            ratio = ((new_variance + 1e-5) / (variance + 1e-5)).log().abs().mean().exp()
            moved[name] = (float(shift), float(ratio))
    return moved


def _in_checkpoint(tensor: torch.Tensor) -> bool:
    """Whether a tensor's state dict lies in a dictionary that was put together to be saved."""
    states = [d for d in gc.get_referrers(tensor) if isinstance(d, dict)]
    return any(_is_checkpoint(d) for state in states for d in gc.get_referrers(state) if isinstance(d, dict))


def _is_checkpoint(dictionary: dict) -> bool:
    live = (nn.Module, torch.optim.Optimizer, torch.utils.data.DataLoader)  # these are some code's variables
    return bool(CHECKPOINT & {str(key) for key in dictionary}) and not any(
        isinstance(value, live) for value in dictionary.values()
    )
