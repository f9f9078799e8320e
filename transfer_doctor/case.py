"""What was given to the doctor, and what several checks want to know about it, measured once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch

from transfer_doctor.findings import CannotTell
from transfer_doctor.forward_trace import ForwardTrace, Layer, forward_order, tensors_in
from transfer_doctor.initialization import has_statistics, looks_untrained
from transfer_doctor.inputs import TRIAL_IMAGES, Inputs

LARGE = 1e9  # multiplications for one image in one forward pass


class Case(Inputs):
    """The objects given to `diagnose`, with lazily measured facts about them."""

    @cached_property
    def forward_trace(self) -> ForwardTrace:
        """One forward and backward pass of a copy in the mode in which it trains."""
        return ForwardTrace.of(self.copies()[0], *[self.batch[0][: TRIAL_IMAGES // 2]] * self.arguments)

    @property
    def affordable(self) -> int:
        """Images for repeated trials: half as many for networks as large as a ResNet-18 at 224 pixels."""
        return TRIAL_IMAGES // 2 if self.forward_trace.multiplications > LARGE else TRIAL_IMAGES

    @property
    def outputs(self) -> torch.Tensor:
        """What a copy in `eval` mode answers to images of the trial batch: (B, classes), (B, 1) for one number each.

        Raises:
            CannotTell: if the model raises.
        """
        return self.answers if self.answers.ndim > 1 else self.answers[:, None]

    @property
    def answers(self) -> torch.Tensor:
        """The same as the loss gets it: (B,) where the model itself drops the second axis."""
        return self.scores(self.whole_answer).float()

    @property
    def whole_answer(self) -> Any:
        """The same with all else that the model returns.

        Raises:
            CannotTell: if the model raises, or compares images instead of classifying them.
        """
        if self.arguments > 1:
            raise CannotTell(f"the model takes {self.arguments} inputs, so what it returns may be no scores")
        if self.forward_trace.error is not None or self.error_in_eval is not None:
            raise CannotTell("the model raises on a batch")
        return self._in_eval[0]

    @property
    def error_in_eval(self) -> Exception | None:
        """What the model raises in eval mode, if anything."""
        return self._in_eval[1]

    @cached_property
    def _in_eval(self) -> tuple[Any, Exception | None]:
        model = self.copies()[0].eval()
        try:
            with torch.no_grad():
                answer = self.run(model, self.batch[0][: self.affordable])
                self.scores(answer)
                return answer, None
        except Exception as error:  # the check `module_raises` reports it
            return None, error

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers that hold parameters, from stem to head: in the order in which `forward` reaches them."""
        if self.samples and self.forward_trace.error is None:
            return forward_order(self.model, self.forward_trace.called)
        return forward_order(self.model, [name for name, _ in self.model.named_modules()])

    @cached_property
    def head(self) -> Layer:
        """The last layer with a weight matrix on the way to the scores.

        Raises:
            CannotTell: if there is no such layer.
        """
        called = set(self.forward_trace.called) if self.samples and self.forward_trace.error is None else None
        reached = [layer for layer in self.layers if called is None or layer.name in called]
        matrices = [layer for layer in reached if any(p.ndim >= 2 for p in layer.parameters.values())]
        if not matrices:
            raise CannotTell("the model has no layer with a weight matrix")
        if (
            called is None
            or self.arguments > 1
            or self.error_in_eval is not None
            or len(tensors_in(self._in_eval[0])) < 2
        ):
            return matrices[-1]
        outputs = self.scores(self._in_eval[0]).shape[-1]  # of several outputs one is the scores
        return next((x for x in reversed(matrices) if x.weight.shape[0] == outputs), matrices[-1])

    @cached_property
    def untrained(self) -> set[str]:
        """Names of the layers whose weights look freshly initialized.

        A layer whose BatchNorm has statistics was in a network that ran, so it does not count as new: a network that
        learned only briefly leaves some layers near where they began.
        """
        after = dict(zip([layer.name for layer in self.layers], [*self.layers[1:], None], strict=True))
        return {
            layer.name
            for layer in self.layers
            if layer.weight is not None and looks_untrained(layer.weight) and not has_statistics(after[layer.name])
        }

    @cached_property
    def pretrained(self) -> list[Layer]:
        """The layers with weights that stem from pretraining, as far as the weights tell.

        Small layers that do not tell count only where no layer of the body does.
        """
        after = dict(zip([layer.name for layer in self.layers], [*self.layers[1:], None], strict=True))
        body = [layer for layer in self.layers if layer.weight is not None and layer is not self.head]
        trained = [x for x in body if looks_untrained(x.weight) is False or has_statistics(after[x.name])]
        small = [x for x in body if looks_untrained(x.weight) is None and not set(x.parameters) & self.new_head]
        return trained or small

    @cached_property
    def new_head(self) -> set[str]:
        """Full names of the parameters of the last top-level part: where new layers are to be expected."""
        top = self.head.name.split(".")[0]
        depth_one = [name for name, _ in self.model.named_children()]
        if len(depth_one) == 1:
            top = self.head.name.rpartition(".")[0]
        names = {name for name, _ in self.model.named_parameters() if name == top or name.startswith(f"{top}.")}
        return names or set(self.head.parameters)

    def listed(self, layers: Iterable[Layer]) -> str:
        """Names of layers for a sentence: all of a few, else the first, the last and how many."""
        names = [layer.name or "the model itself" for layer in layers]
        return ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)} layers)"


def in_python(name: str, root: str = "model") -> str:
    """A module's or parameter's dotted name as Python writes it: `classifier.6` -> `model.classifier[6]`."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part]
    return root + "".join(parts)
