"""What was given to the doctor, and what several checks want to know about it, measured once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from transfer_doctor.findings import CannotTell
from transfer_doctor.forward_trace import ForwardTrace, Layer, forward_order, tensors_in
from transfer_doctor.initialization import has_statistics, looks_untrained
from transfer_doctor.inputs import TRIAL_IMAGES, Inputs

LARGE, HUGE = 1e9, 1e10  # multiplications for one image in one forward pass
LARGE_IMAGE = 3 * 160 * 160  # values; activations of larger ones take more memory and time than their multiplications
SMALL = 2**20  # values of an output that may be a head's; those of a body's layers are larger and not kept
TRACED_IMAGES = 2  # BatchNorm needs two; each holds all activations of the network for the backward pass


class Case(Inputs):
    """The objects given to `diagnose`, with lazily measured facts about them."""

    @cached_property
    def forward_trace(self) -> ForwardTrace:
        """One forward and backward pass of a copy in the mode in which it trains."""
        return ForwardTrace.of(self.copies()[0], *[self.batch[0][:TRACED_IMAGES]] * self.arguments)

    @property
    def affordable(self) -> int:
        """Images for repeated trials: half as many of large ones, or for networks as large as a ResNet-18 at 224 px.

        A quarter for networks as large as VGG-16.
        """
        work = self.forward_trace.multiplications
        large = work > LARGE or self.batch[0][:1].numel() > LARGE_IMAGE
        return TRIAL_IMAGES // (4 if work > HUGE else 2 if large else 1)

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
    def _in_eval(self) -> tuple[Any, Exception | None, dict[str, torch.Tensor]]:
        """What a copy answers in eval mode, what it raises, and the outputs of layers that may be the head."""
        model = self.copies()[0].eval()
        outputs: dict[str, torch.Tensor] = {}

        def keep(name: str, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.numel() <= SMALL:
                outputs[name] = output.float()

        for layer in self.layers:
            if any(p.ndim >= 2 for p in layer.parameters.values()):
                module = model.get_submodule(layer.name)
                module.register_forward_hook(lambda m, i, output, name=layer.name: keep(name, output))
        try:
            images = self.batch[0][: self.affordable // 2]
            with torch.no_grad():
                answer = self.run(model, images)
                if not self.scores(answer).any() and _fill_zero_layers(model):
                    answer = self.run(model, images)
                return answer, None, outputs
        except Exception as error:  # the check `module_raises` reports it
            return None, error, outputs

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

    def layer_after(self, layer: Layer) -> Layer | None:
        """The layer that `forward` reaches next."""
        return self._next.get(layer.name)

    @cached_property
    def _next(self) -> dict[str, Layer]:
        return {layer.name: after for layer, after in pairwise(self.layers)}

    @property
    def head_outputs(self) -> torch.Tensor | None:
        """What the last layer itself gives for the images of `outputs`, in eval mode; None where it is not called."""
        return self._in_eval[2].get(self.head.name)

    @cached_property
    def batch_norm_inputs(self) -> dict[str, torch.Tensor]:
        """The variance of each channel (C,) that each BatchNorm layer gets in a batch, by the layer's name."""
        variances: dict[str, torch.Tensor] = {}
        model = self.copies()[0].eval()

        def watch(name: str) -> Callable:
            return lambda module, inputs: variances.__setitem__(
                name, inputs[0].float().var([axis for axis in range(inputs[0].ndim) if axis != 1])
            )

        for layer in self.layers:
            if layer.is_batch_norm:
                model.get_submodule(layer.name).register_forward_pre_hook(watch(layer.name))
        with torch.no_grad():
            self.run(model, self.batch[0][: self.affordable])
        return variances

    @cached_property
    def untrained(self) -> set[str]:
        """Names of the layers whose weights look freshly initialized.

        A layer whose BatchNorm has statistics was in a network that ran, so it does not count as new: a network that
        learned only briefly leaves some layers near where they began.
        """
        return {
            layer.name
            for layer in self.layers
            if layer.weight is not None
            and looks_untrained(layer.weight)
            and not has_statistics(self.layer_after(layer))
        }

    @cached_property
    def pretrained(self) -> list[Layer]:
        """The layers with weights that stem from pretraining, as far as the weights tell.

        Small layers that do not tell count only where no layer of the body does.
        """
        body = [layer for layer in self.layers if layer.weight is not None and layer is not self.head]
        trained = [x for x in body if looks_untrained(x.weight) is False or has_statistics(self.layer_after(x))]
        small = [x for x in body if looks_untrained(x.weight) is None and not set(x.parameters) & self.new_head]
        return trained or small

    @property
    def pretrained_and_norms(self) -> list[Layer]:
        """The pretrained layers with the normalization between them, from stem to head."""
        pretrained = {layer.name for layer in self.pretrained}
        return [x for x in self.layers if x.name in pretrained or (x.is_norm and x is not self.head)]

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


def _fill_zero_layers(model: nn.Module) -> bool:
    """Give small random weights to layers that hold zeros alone, as BiT's new head has; whether there were any."""
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and not m.weight.any()]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.05, generator=torch.Generator(layer.weight.device).manual_seed(0))
    return bool(layers)


def in_python(name: str, root: str = "model") -> str:
    """A module's or parameter's dotted name as Python writes it: `classifier.6` -> `model.classifier[6]`."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part]
    return root + "".join(parts)
