"""Watch a training loop: what was seen between the two ends of a `with` block, and what it means."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import RandomSampler, SequentialSampler

from transfer_doctor.findings import CannotTell
from transfer_doctor.report import Diagnosis
from transfer_doctor.watching.functions import Functions
from transfer_doctor.watching.gradients import Gradients
from transfer_doctor.watching.loaders import Loaders
from transfer_doctor.watching.loop_variables import find_wrong_average
from transfer_doctor.watching.model_calls import Hook, ModelCalls
from transfer_doctor.watching.patching import Patches
from transfer_doctor.watching.record import Call, Pass, Record
from transfer_doctor.watching.schedulers import Schedulers
from transfer_doctor.watching.weights import Weights


class Watch:
    """Observes a loop while its `with` block runs; made by `watch`.

    Shows its diagnosis when it is printed, or when it is the last line of a notebook cell.

    Attributes:
        record: passes over the loaders, calls of the model, where the loop is.
        calls: forward passes.
        functions: losses, softmax, argmax and backward in the loop.
        gradients: gradients and optimizer steps.
        schedulers: scheduler steps.
        weights: weights before the block, and state dicts that the loop keeps.
        same_images: whether the loaders for training and validation read the same images.
        best_is_model: name of a variable `...best...` that is the model, or holds its tensors, when the block ends.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[Optimizer],
        loaders: dict[str, Iterable | None],
        schedulers: list[Any],
        criterion: Callable | None,
        examine: Callable[[Watch], Diagnosis],
    ) -> None:
        self.record = Record()
        self.functions = Functions(self.record)
        self.calls = ModelCalls(self.record, model, self.functions.quiet)
        self.gradients = Gradients(self.record, self.functions, self.calls.parameters)
        self.schedulers = Schedulers(self.record, self.gradients, schedulers)
        self.weights = Weights(self.record, self.gradients, model)
        self.loaders = Loaders(self.record, loaders, self.functions.quiet, self._end_of_pass)
        self.functions.ends = self.weights.ends
        self.calls.before_call += [self.loaders.notice, lambda inputs: self.gradients.follow()]
        self.optimizers, self.criterion = optimizers, criterion
        self.same_images = _same_images(loaders["train"], loaders["val"])
        self.best_is_model = ""
        self._patches, self._handles = Patches(), []
        self._examine = examine
        self._diagnosis: Diagnosis | None = None

    def __enter__(self) -> Watch:
        self.loaders.attach(self._patches)
        self.schedulers.attach(self._patches)
        self._handles = [*self.calls.attach(), *self.weights.attach(), *self.gradients.attach(self.optimizers)]
        if isinstance(self.criterion, nn.Module):
            self._handles.append(self.criterion.register_forward_hook(Hook(self.functions.criterion_hook)))
        self.functions.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.functions.leave()
        self.loaders.end_listed()
        self._patches.undo()
        for handle in self._handles:
            handle.remove()
        self.gradients.detach()
        variables = sys._getframe(1).f_locals
        self.best_is_model = next((n for n, v in variables.items() if "best" in n and self.weights.share(v)), "")
        self._diagnosis = self._examine(self)
        self.record.active = False

    @property
    def diagnosis(self) -> Diagnosis:
        """The findings about what was seen: until now inside the block, of all of it afterwards."""
        return self._diagnosis or self._examine(self)

    def trained(self) -> list[Call]:
        """Calls of the model that backward came through, on images that are not for validation or test.

        Raises:
            CannotTell: if there are none.
        """
        calls = [c for c in self.record.calls if c.reached and c.role not in ("val", "test")]
        if not calls:
            raise CannotTell("the model was not trained inside the block")
        return calls

    def validated(self) -> list[Call]:
        """Calls of the model on validation or test images that no backward came through.

        Raises:
            CannotTell: if there are none.
        """
        calls = [c for c in self.record.of_role("val", "test") if not c.reached]
        if not calls:
            reason = self.loaders.not_seen.get("val", "the model was not called on batches of a validation loader")
            raise CannotTell(reason)
        return calls

    def stepped(self) -> int:
        """Optimizer steps in the block.

        Raises:
            CannotTell: if there are none.
        """
        if not self.gradients.steps:
            raise CannotTell("no optimizer of this model made a step inside the block")
        return self.gradients.steps

    def _end_of_pass(self, source: Pass) -> None:
        calls = [c for c in self.record.calls if c.batch is not None and c.batch.source is source]
        held = [c for c in calls if c.has_graph and (c.reached or source.role in ("val", "test"))]
        if sum(c.graph_is_alive for c in held) > 2:
            gc.collect()
        source.graphs = (sum(c.graph_is_alive for c in held), len(held))
        if not source.epoch:
            source.wrong_average = find_wrong_average(source, calls)

    def __repr__(self) -> str:
        return repr(self.diagnosis)

    def _repr_html_(self) -> str:
        return self.diagnosis._repr_html_()


def _same_images(one: Any, other: Any) -> bool:
    """Whether two loaders are one, or read one whole data set."""
    if one is None or one is other:
        return one is not None
    dataset = getattr(one, "dataset", None)
    whole = all(isinstance(getattr(x, "sampler", None), RandomSampler | SequentialSampler) for x in (one, other))
    return dataset is not None and dataset is getattr(other, "dataset", None) and whole
