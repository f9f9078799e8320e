"""Watch the functions that the loop itself calls: losses, softmax, argmax, backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from transfer_doctor.watching.record import Batch, Call, Happening, Pass, Record

LOSSES = {functional.cross_entropy, functional.nll_loss, functional.multi_margin_loss}
SOFTMAX = {functional.softmax, functional.log_softmax, torch.softmax, torch.log_softmax}
SOFTMAX |= {torch.Tensor.softmax, torch.Tensor.log_softmax}
ARGMAX = {torch.argmax, torch.Tensor.argmax, torch.max, torch.Tensor.max, torch.Tensor.topk, torch.topk}
LAYERS = {torch.conv2d, functional.conv2d, functional.linear}


class Functions(TorchFunctionMode):
    """Sees every torch function outside the model's own forward, and calls it unchanged.

    Attributes:
        wrong_axis: softmax or argmax of the model's outputs over the images of a batch, by the function's name.
        compared: losses whose labels could be held against the loader's.
        suspects: number of a call of the model to its batch and what its labels were instead of the batch's.
        answered: numbers of the calls for which some loss got the batch's own labels.
        losses: calls of the model and the loss of each (a tensor without axes).
        ends: the watched model's first and last weight, under `first` and `last`.
        foreign: weights of these shapes in another network that ran on a loader's batches: the pass, which end, and a
            few values.
        backwards: calls of `backward`.
        scaled: the value of which `backward` was called last, and that of the loss before it.
    """

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record
        self.wrong_axis: dict[str, Happening] = {}
        self.compared = 0
        self.suspects: dict[int, tuple[Batch, str]] = {}
        self.answered: set[int] = set()
        self.losses: list[tuple[Call, torch.Tensor]] = []
        self.foreign: list[tuple[Pass, str, torch.Tensor]] = []
        self.backwards = 0
        self.scaled: tuple[torch.Tensor, torch.Tensor] | None = None
        self.ends: dict[str, torch.Tensor] = {}
        self._popped = False
        self._handlers = {
            **dict.fromkeys(LOSSES, self._loss),
            **dict.fromkeys(SOFTMAX | ARGMAX, self._axis),
            **dict.fromkeys(LAYERS, self._layer),
            torch.Tensor.backward: self._backward,
        }

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call the function, then look at what it was given."""
        result = func(*args, **(kwargs or {}))
        if torch.compiler.is_compiling():
            return result
        handler = self._handlers.get(func)
        if handler is not None and self.record.active:
            self.record.safely("functions", handler, func, args, kwargs or {}, result)
        return result

    def quiet(self, on: bool) -> None:
        """Step aside while a model or a loader runs, so that its functions take the way that they take without us."""
        if on and _get_current_function_mode() is self:
            self.__exit__(None, None, None)
            self._popped = True
        elif not on and self._popped:
            self._popped = False
            self.__enter__()

    def leave(self) -> None:
        """Step aside for good."""
        if not self._popped and _get_current_function_mode() is self:
            self.__exit__(None, None, None)
        self._popped = False

    def shuffled(self) -> list[tuple[Batch, str]]:
        """Batches whose images were compared with other labels, and with which.

        Mixed images (mixup) have two losses, one of them with the labels in another order: these are left out.
        """
        return [found for number, found in self.suspects.items() if number not in self.answered]

    def criterion_hook(self, module: nn.Module, args: tuple, result: Any) -> None:
        """Forward hook of a loss that is a module."""
        if self.record.active and len(args) == 2:
            self.record.safely("functions", self._labels, args[1])

    def _loss(self, func: Callable, args: tuple, kwargs: dict, result: torch.Tensor) -> None:
        self._labels(args[1] if len(args) > 1 else kwargs.get("target"))
        call = self.record.last_call
        if call is not None and result.numel() == 1:
            self.losses.append((call, result.detach()))

    def _labels(self, target: torch.Tensor | None) -> None:
        """Hold the labels that a loss gets against those that came with the images."""
        call = self.record.last_call
        batch = call.batch if call else None
        if batch is None or not call.exact or batch.labels is None or not isinstance(target, torch.Tensor):
            return
        target = target.detach().flatten()
        if target.shape != batch.labels.shape or target.is_floating_point():
            return
        target = target.to(batch.labels.device)
        self.compared += 1
        if torch.equal(target, batch.labels):
            self.answered.add(call.number)
        elif torch.equal(target.sort().values, batch.labels.sort().values):
            self.suspects[call.number] = (batch, "its own labels in another order")
        elif other := next((b for b in self.record.recent if b is not batch and _has_labels(b, target)), None):
            self.suspects[call.number] = (batch, f"the labels of {other}")

    def _axis(self, func: Callable, args: tuple, kwargs: dict, result: Any) -> None:
        call = self.record.last_call
        if not args or call is None or not isinstance(args[0], torch.Tensor):
            return
        name = getattr(func, "__name__", "")
        place = 2 if name == "topk" else 1
        axis = kwargs.get("dim", args[place] if len(args) > place else None)
        scores = args[0]
        if scores.ndim == 2 and len(scores) > 1 and tuple(scores.shape) == call.shape and axis in (0, -2):
            self.wrong_axis.setdefault(name, Happening()).note(call)

    def _layer(self, func: Callable, args: tuple, kwargs: dict, result: Any) -> None:
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        if not self.record.recent or any(weight is own for own in self.ends.values()):
            return
        source = self.record.recent[-1].source
        for end, own in self.ends.items():
            if weight.shape == own.shape and (source, end) not in [known[:2] for known in self.foreign[-4:]]:
                self.foreign.append((source, end, weight.detach().flatten()[:64].clone()))

    def _backward(self, func: Callable, args: tuple, kwargs: dict, result: Any) -> None:
        self.backwards += 1
        if self.losses and args[0].numel() == 1:
            self.scaled = (args[0].detach(), self.losses[-1][1])


def _has_labels(batch: Batch, labels: torch.Tensor) -> bool:
    return batch.labels is not None and torch.equal(batch.labels.to(labels.device), labels)
