"""Watch the model being called: on which images, in which mode, with or without a graph."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from transfer_doctor.watching.batches import find_batch, tensors_in
from transfer_doctor.watching.record import Call, Record

DROPOUT = nn.modules.dropout._DropoutNd
BATCH_NORM = nn.modules.batchnorm._BatchNorm
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DataParallel or DistributedDataParallel; a compiled one as it is."""
    while isinstance(model, WRAPPERS):
        model = model.module
    return model


def compiled(model: nn.Module) -> bool:
    """Whether this is what `torch.compile` returned."""
    return hasattr(model, "_orig_mod")


def named_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters under the names that the learner knows."""
    return {name.removeprefix("_orig_mod."): p for name, p in model.named_parameters()}


def is_dropout(module: nn.Module) -> bool:
    """Whether a layer drops something in train mode."""
    named = type(module).__name__ in ("StochasticDepth", "DropPath")
    rate = getattr(module, "p", None) or getattr(module, "drop_prob", None) or 0
    return (named or isinstance(module, DROPOUT)) and rate > 0


def nothing(*args: Any, **kwargs: Any) -> None:
    """What a hook becomes in a copy of the model."""


def _nothing() -> Callable:
    return nothing


class Hook:
    """A hook that stays behind when the model is copied or pickled."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Observe; what the model computes stays as it is."""
        if not torch.compiler.is_compiling():
            self.function(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> Callable:
        return nothing

    def __reduce__(self) -> tuple:
        return _nothing, ()


class Reached:
    """Hangs on the outputs' graph: tells when backward comes through, and lives as long as the graph."""

    def __init__(self, record: Record, call: Call) -> None:
        self.record, self.call = record, call

    def __call__(self, gradient: torch.Tensor) -> None:
        """Note that backward is here; the gradient stays as it is."""
        if self.record.active:
            self.record.reach(self.call)


class ModelCalls:
    """Observes a model through forward hooks on it, and on its parts where a loop calls them one by one.

    Attributes:
        called_parts: names of the model's direct parts that were called.
    """

    def __init__(self, record: Record, model: nn.Module, quiet: Callable[[bool], None]) -> None:
        self.record, self.model, self.quiet = record, unwrapped(model), quiet
        self.norms = [m for m in self.model.modules() if isinstance(m, BATCH_NORM) and m.running_mean is not None]
        self.dropouts = [m for m in self.model.modules() if is_dropout(m)]
        self.parameters = named_parameters(self.model)
        self.called_parts: set[str] = set()
        self.before_call: list[Callable[[list[torch.Tensor]], None]] = []
        self._inside = 0
        self._call: Call | None = None

    def attach(self) -> list[Any]:
        """Register the hooks.

        Returns:
            Handles that remove them.
        """
        parts = [] if compiled(self.model) else list(self.model.named_children())
        handles = []
        for name, module in [("", self.model), *parts]:
            before = Hook(lambda m, args, kwargs, name=name, own=module: m is own and self._enter(name, args, kwargs))
            after = Hook(lambda m, args, output, own=module: m is own and self._leave(output))
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after, always_call=True))
        return handles

    def _enter(self, name: str, args: tuple, kwargs: dict) -> None:
        if not self.record.active or self.record.loading:
            return
        if name:
            self.called_parts.add(name)
        self._inside += 1
        if self._inside == 1:
            self.record.safely("model calls", self._begin, name, args, kwargs)
            self.quiet(True)

    def _leave(self, output: Any) -> None:
        if not self.record.active or self.record.loading:
            return
        self._inside -= 1
        if self._inside == 0:
            self.quiet(False)
            self.record.safely("model calls", self._end, output)

    def _begin(self, name: str, args: tuple, kwargs: dict) -> None:
        inputs = list(tensors_in([args, kwargs]))
        for function in self.before_call:
            function(inputs)
        continues = self._call is not None and name and not self._from_loader(inputs)
        if continues:  # the parts of one model called one after the other are one call
            return
        self.record.take_reached()
        batch, exact = find_batch(self.record, inputs)
        self._call = Call(
            number=len(self.record.calls) + 1,
            batch=batch,
            exact=exact,
            training=self.model.training,
            batch_norms=sum(m.training for m in self.norms),
            dropouts=sum(m.training for m in self.dropouts),
            held_norms=sum(not m.training and m.affine and m.weight.requires_grad for m in self.norms),
        )
        self.record.calls.append(self._call)

    def _from_loader(self, inputs: list[torch.Tensor]) -> bool:
        return bool(self.record.unused) or not self.record.recent

    def _end(self, output: Any) -> None:
        call = self._call
        tensors = list(tensors_in(output))
        if call is None or not tensors or call.reached:  # reached: backward runs a part again (checkpointing)
            return
        scores = max((t for t in tensors if t.ndim == 2), key=lambda t: t.requires_grad, default=tensors[0])
        call.shape = tuple(scores.shape)
        with_graph = next((t for t in [scores, *tensors] if t.requires_grad and t.grad_fn is not None), None)
        call.has_graph = with_graph is not None
        if with_graph is not None:
            hook = Reached(self.record, call)
            call.graph = weakref.ref(hook)
            with_graph.register_hook(hook)
        labels = call.batch.labels if call.batch and call.exact else None
        if call.role != "train" and labels is not None and call.shape[:1] == labels.shape and len(call.shape) == 2:
            call.correct = (scores.detach().argmax(1).to(labels.device) == labels).sum()
