"""What was shown to the doctor, and what several checks want to know about it, measured once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.utils.data import Subset

from helpers.doctor.findings import CannotTell
from helpers.doctor.fresh import has_statistics, looks_fresh
from helpers.doctor.reading import Reading
from helpers.doctor.trace import Layer, Trace, forward_order, main_output
from helpers.doctor.untouched import specimen, unwrap

TRIAL_PICTURES = 16
LARGE = 1e9  # multiplications for one picture in one forward pass


@dataclass
class Case:
    """The objects shown to `diagnose`, unwrapped, with lazily measured facts about them.

    The learner's own model and optimizer are only looked at; whatever runs, runs on a `specimen`.
    """

    model: nn.Module | None = None
    optimizer: Any = None
    train_loader: Reading | None = None
    val_loader: Reading | None = None
    scheduler: Any = None
    criterion: Callable | None = None
    weights: Any = None
    classes: Sequence[str] | None = None
    recipe: Any = None
    loaders: tuple[Any, Any] = (None, None)

    def __post_init__(self) -> None:
        if isinstance(self.model, nn.Module):
            self.model = unwrap(self.model)
        self.optimizer = _inside(self.optimizer, "optimizer")
        self.scheduler = _inside(self.scheduler, "scheduler")

    @property
    def readings(self) -> list[Reading]:
        """The loaders that were shown."""
        return [reading for reading in (self.train_loader, self.val_loader) if reading is not None]

    @property
    def reading(self) -> Reading:
        """A loader to try the model on: the training one, else the one for validation."""
        if not self.readings:
            raise CannotTell("no loader was shown")
        return self.readings[0]

    @property
    def shared_datasets(self) -> tuple[Any, Any]:
        """The learner's own datasets, each without the `Subset`s around it."""
        return tuple(_whole_dataset(getattr(loader, "dataset", None)) for loader in self.loaders)

    @cached_property
    def device(self) -> torch.device:
        """Where the model lies."""
        first = next(iter(self.model.parameters()), torch.empty(0))
        return first.device

    def for_model(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures on the model's device and, where they are floating, in the model's precision."""
        first = next(iter(self.model.parameters()), torch.empty(0))
        pictures = pictures.to(self.device)
        return pictures.to(first.dtype) if pictures.is_floating_point() else pictures

    @cached_property
    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A small batch for trials: at most 16 pictures, with their labels.

        Raises:
            CannotTell: if no loader gives a batch.
        """
        pictures, labels = self._pictures_and_labels
        return pictures[:TRIAL_PICTURES], labels[:TRIAL_PICTURES]

    @property
    def other_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As many other pictures, with their labels; fewer or none where the loader gave no more."""
        pictures, labels = self._pictures_and_labels
        return pictures[TRIAL_PICTURES : 2 * TRIAL_PICTURES], labels[TRIAL_PICTURES : 2 * TRIAL_PICTURES]

    @cached_property
    def _pictures_and_labels(self) -> tuple[torch.Tensor, torch.Tensor]:
        batches = self.reading.batches
        if not batches:
            raise CannotTell(f"the {self.reading.split} loader gave no batch")
        alike = [
            (x, y)
            for x, y in batches
            if x.shape[1:] == batches[0][0].shape[1:] and y.shape[1:] == batches[0][1].shape[1:] and len(x) == len(y)
        ] or batches[:1]
        pictures = torch.cat([x for x, _ in alike])[: 2 * TRIAL_PICTURES]
        labels = torch.cat([y for _, y in alike])[: 2 * TRIAL_PICTURES]
        return self.for_model(pictures), labels.to(self.device)

    def specimen(self) -> tuple[nn.Module, Any]:
        """A fresh copy of model and optimizer to experiment on.

        Raises:
            CannotTell: if the model or its optimizer cannot be copied.
        """
        try:
            return specimen(self.model, self.optimizer)
        except Exception as error:  # modules may refuse to be copied in any way they like
            raise CannotTell(f"the model cannot be copied ({type(error).__name__}: {error})") from error

    def in_training(self) -> nn.Module:
        """A copy in the mode in which the model is going to train.

        Of a model that is in train mode, parts in eval mode are there on purpose; else `train()` is to be called.
        """
        twin = self.specimen()[0]
        return twin if twin.training else twin.train()

    @cached_property
    def trace(self) -> Trace:
        """One forward and backward pass of a copy in the mode in which it trains."""
        return Trace.of(self.specimen()[0], self.batch[0][: TRIAL_PICTURES // 2])

    @property
    def affordable(self) -> int:
        """Pictures for repeated trials: half as many for networks as large as a ResNet-18 at 224 pixels."""
        return TRIAL_PICTURES // 2 if self.trace.multiplications > LARGE else TRIAL_PICTURES

    @property
    def outputs(self) -> torch.Tensor:
        """What a copy in `eval` mode answers to pictures of the trial batch: (B, classes), (B, 1) for one number each.

        Raises:
            CannotTell: if the model raises.
        """
        return self.answers if self.answers.ndim > 1 else self.answers[:, None]

    @property
    def answers(self) -> torch.Tensor:
        """The same as the loss gets it: (B,) where the model itself drops the second axis."""
        if self.trace.error is not None or self.error_in_eval is not None:
            raise CannotTell("the model raises on a batch")
        return self._in_eval[0]

    @property
    def error_in_eval(self) -> Exception | None:
        """What the model raises in eval mode, if anything."""
        return self._in_eval[1]

    @cached_property
    def _in_eval(self) -> tuple[torch.Tensor | None, Exception | None]:
        model = self.specimen()[0].eval()
        try:
            with torch.no_grad():
                return main_output(model(self.batch[0][: self.affordable])).float(), None
        except Exception as error:  # the check `module_raises` reports it
            return None, error

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers that hold parameters, from stem to head: in the order in which `forward` reaches them."""
        if self.readings and self.trace.error is None:
            return forward_order(self.model, self.trace.called)
        return forward_order(self.model, [name for name, _ in self.model.named_modules()])

    @cached_property
    def head(self) -> Layer:
        """The last layer with a weight matrix on the way to the outputs.

        Raises:
            CannotTell: if there is no such layer.
        """
        called = set(self.trace.called) if self.readings and self.trace.error is None else None
        reached = [layer for layer in self.layers if called is None or layer.name in called]
        matrices = [layer for layer in reached if any(p.ndim >= 2 for p in layer.parameters.values())]
        if not matrices:
            raise CannotTell("the model has no layer with a weight matrix")
        return matrices[-1]

    @cached_property
    def fresh(self) -> set[str]:
        """Names of the layers whose weights look freshly initialised.

        A layer whose BatchNorm has statistics was in a network that ran, so it does not count as new: a network that
        learned only briefly leaves some layers near where they began.
        """
        after = dict(zip([layer.name for layer in self.layers], [*self.layers[1:], None], strict=True))
        return {
            layer.name
            for layer in self.layers
            if layer.weight is not None and looks_fresh(layer.weight) and not has_statistics(after[layer.name])
        }

    @cached_property
    def pretrained(self) -> list[Layer]:
        """The layers with weights that stem from pretraining, as far as the weights tell.

        Small layers that do not tell count only where no layer of the body does.
        """
        after = dict(zip([layer.name for layer in self.layers], [*self.layers[1:], None], strict=True))
        body = [layer for layer in self.layers if layer.weight is not None and layer is not self.head]
        trained = [x for x in body if looks_fresh(x.weight) is False or has_statistics(after[x.name])]
        small = [x for x in body if looks_fresh(x.weight) is None and not set(x.parameters) & self.new_head]
        return trained or small

    @cached_property
    def class_names(self) -> list[str] | None:
        """Class names as given, else as the training (or validation) dataset has them."""
        if self.classes is not None:
            return [str(name) for name in self.classes]
        return next((reading.class_names for reading in self.readings if reading.class_names), None)

    @cached_property
    def new_head(self) -> set[str]:
        """Full names of the parameters of the last top-level part: where new layers are to be expected."""
        top = self.head.name.split(".")[0]
        depth_one = [name for name, _ in self.model.named_children()]
        if len(depth_one) == 1:
            top = self.head.name.rpartition(".")[0]
        names = {name for name, _ in self.model.named_parameters() if name == top or name.startswith(f"{top}.")}
        return names or set(self.head.parameters)

    def softly(self, layers: Iterable[Layer]) -> str:
        """Names of layers for a sentence: all of a few, else the first, the last and how many."""
        names = [layer.name or "the model itself" for layer in layers]
        return ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)} layers)"


def in_python(name: str, root: str = "model") -> str:
    """A module's or parameter's dotted name as Python writes it: `classifier.6` -> `model.classifier[6]`."""
    parts = [f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part]
    return root + "".join(parts)


def _whole_dataset(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _inside(wrapper: Any, attribute: str) -> Any:
    """The object inside accelerate's `AcceleratedOptimizer` or `AcceleratedScheduler`."""
    return getattr(wrapper, attribute) if type(wrapper).__name__.startswith("Accelerated") else wrapper
