"""What was given to the doctor, unwrapped, and how to use it without touching it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.utils.data import Subset

from transfer_doctor.findings import CannotTell
from transfer_doctor.forward_trace import main_output
from transfer_doctor.isolation import copies, unwrap
from transfer_doctor.loader_sample import LoaderSample
from transfer_doctor.optimizers import as_one, each_optimizer, each_scheduler

TRIAL_IMAGES = 16


@dataclass
class Inputs:
    """The objects given to `diagnose`.

    The learner's own model and optimizer are only looked at; whatever runs, runs on `copies`.
    """

    model: nn.Module | None = None
    optimizer: Any = None
    train_loader: LoaderSample | None = None
    val_loader: LoaderSample | None = None
    scheduler: Any = None
    criterion: Callable | None = None
    weights: Any = None
    classes: Sequence[str] | None = None
    preprocessing: Any = None
    loaders: tuple[Any, Any] = (None, None)

    def __post_init__(self) -> None:
        if isinstance(self.model, nn.Module):
            self.model = unwrap(self.model)
        self.optimizer = as_one(self.optimizer)
        self.schedulers = each_scheduler(self.scheduler)
        if isinstance(self.classes, int):
            self.classes = [str(number) for number in range(self.classes)]
        elif isinstance(self.classes, Mapping):  # ImageFolder's `class_to_idx`, or number -> name
            self.classes = self._names_by_number(self.classes)

    def _names_by_number(self, classes: Mapping) -> list[str]:
        """Class names in the order of their numbers, from name -> number, number -> name or folder -> name."""
        if all(isinstance(number, int) for number in classes.values()):
            return sorted(classes, key=classes.get)
        folders = next((sample.class_names for sample in self.samples if sample.class_names), None) or ()
        if {str(folder) for folder in folders} == {str(key) for key in classes}:
            by_folder = {str(key): name for key, name in classes.items()}
            return [by_folder[str(folder)] for folder in folders]
        return [classes[key] for key in sorted(classes, key=lambda key: (len(str(key)), str(key)))]

    @property
    def samples(self) -> list[LoaderSample]:
        """The loaders that were given."""
        return [sample for sample in (self.train_loader, self.val_loader) if sample is not None]

    @property
    def sample(self) -> LoaderSample:
        """A loader to try the model on: the training one, else the one for validation."""
        if not self.samples:
            raise CannotTell("no loader was given")
        return self.samples[0]

    @property
    def optimizer_name(self) -> str:
        """The optimizer's class, of several the first one's."""
        return type(each_optimizer(self.optimizer)[0]).__name__

    @property
    def shared_datasets(self) -> tuple[Any, Any]:
        """The learner's own datasets, each without the `Subset`s around it."""
        return tuple(_whole_dataset(getattr(loader, "dataset", None)) for loader in self.loaders)

    @cached_property
    def device(self) -> torch.device:
        """Where the model lies."""
        first = next(iter(self.model.parameters()), torch.empty(0))
        return first.device

    def for_model(self, images: torch.Tensor) -> torch.Tensor:
        """Images on the model's device and, where they are floating, in the precision of its copies."""
        images = images.to(self.device)
        return images.to(self.dtype) if images.is_floating_point() else images

    @cached_property
    def dtype(self) -> torch.dtype:
        """In which precision the copies compute: the model's own, but not in half on a CPU, which takes minutes."""
        own = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)
        return torch.float32 if own == torch.float16 and self.device.type == "cpu" else own

    @cached_property
    def class_names(self) -> list[str] | None:
        """Class names as given, else as the training (or validation) dataset has them."""
        if self.classes is not None:
            return [str(name) for name in self.classes]
        return next((sample.class_names for sample in self.samples if sample.class_names), None)

    @cached_property
    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A small batch for trials: at most 16 images, with their labels.

        Raises:
            CannotTell: if no loader gives a batch.
        """
        return self.chosen(range(TRIAL_IMAGES))

    @property
    def other_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As many other images, with their labels; fewer or none where the loader gave no more."""
        return self.chosen(range(TRIAL_IMAGES, 2 * TRIAL_IMAGES))

    @property
    def sample_labels(self) -> torch.Tensor:
        """The labels of up to 64 images that were read.

        Raises:
            CannotTell: if no loader gives a batch.
        """
        return torch.cat([labels for _, labels in self._alike])[:64].to(self.device)

    @property
    def images_read(self) -> int:
        """How many images there are to choose from: those that were read and are shaped like the first.

        Raises:
            CannotTell: if no loader gives a batch.
        """
        return sum(len(images) for images, _ in self._alike)

    def chosen(self, numbers: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some of these images by their numbers, with their labels; numbers beyond the last are left out.

        Raises:
            CannotTell: if no loader gives a batch.
        """
        numbers = list(numbers)
        images, labels = (_rows([batch[part] for batch in self._alike], numbers) for part in (0, 1))
        return self.for_model(images), labels.to(self.device)

    @cached_property
    def _alike(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of images shaped like the first."""
        batches = self.sample.batches
        if not batches:
            raise CannotTell(f"the {self.sample.split} loader gave no batch")
        return [
            (x, y)
            for x, y in batches
            if x.shape[1:] == batches[0][0].shape[1:] and y.shape[1:] == batches[0][1].shape[1:] and len(x) == len(y)
        ] or batches[:1]

    def copies(self) -> tuple[nn.Module, Any]:
        """New copies of model and optimizer to experiment on.

        Raises:
            CannotTell: if the model or its optimizer cannot be copied.
        """
        try:
            model_copy, optimizer_copy = copies(self.model, self.optimizer)
            return model_copy.to(self.dtype), optimizer_copy
        except Exception as error:  # modules may refuse to be copied in any way they like
            raise CannotTell(f"the model cannot be copied ({type(error).__name__}: {error})") from error

    def in_training(self) -> nn.Module:
        """A copy in the mode in which the model is going to train.

        Of a model that is in train mode, parts in eval mode are there on purpose; else `train()` is to be called.
        """
        model_copy = self.copies()[0]
        return model_copy if model_copy.training else model_copy.train()

    @cached_property
    def arguments(self) -> int:
        """How many arguments `forward` cannot do without: two of a siamese network."""
        try:
            parameters = inspect.signature(self.model.forward).parameters.values()
        except (TypeError, ValueError):  # scripted modules tell none
            return 1
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return max(1, sum(p.kind in kinds and p.default is p.empty for p in parameters))

    def run(self, model: nn.Module, images: torch.Tensor) -> Any:
        """Whatever a copy of the model returns for images."""
        return model(*[images] * self.arguments)

    def scores(self, answer: Any) -> torch.Tensor:
        """The scores among what the model returned."""
        return main_output(answer, len(self.class_names) if self.class_names else None)

    def loss(self, criterion: Callable, answer: Any, labels: torch.Tensor) -> torch.Tensor:
        """The loss as the learner's loop takes it: some losses want all that a model returns, most only the scores."""
        if not isinstance(answer, torch.Tensor):
            try:
                return criterion(answer, labels)
            except Exception:  # a loss that wants the scores alone
                return criterion(self.scores(answer), labels)
        return criterion(answer, labels)


def _rows(parts: list[torch.Tensor], numbers: Iterable[int]) -> torch.Tensor:
    """Rows of tensors by their numbers, as if the tensors were one, without making it."""
    places = [(part, row) for part in parts for row in range(len(part))]
    chosen = [places[number] for number in numbers if number < len(places)]
    return torch.stack([part[row] for part, row in chosen]) if chosen else parts[0][:0]


def _whole_dataset(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset
