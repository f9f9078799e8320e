"""What one loader gives: images, labels, the order of an epoch, the names of the files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from transfer_doctor.batches import unpack
from transfer_doctor.dataset_fields import files_of, indexed, inner_datasets, stored_labels
from transfer_doctor.findings import CannotTell
from transfer_doctor.loader_copy import set_epoch

IMAGES_KEPT, VALUES_KEPT = 192, 8 * 2**20  # batches are kept until there are this many images, or values in them
FEWEST = 32  # images kept of a batch, however large they are


class LoaderSample:
    """One loader, read through a copy of it, each thing once and only when a check asks for it.

    Args:
        loader: a copy that may be read (see `loader_copy`), yielding `(images, labels)` or a dictionary of them.
        split: `"training"` or `"validation"`, for messages.
        seconds: how long reading may take; labels of further batches are read as long as there is time.
    """

    def __init__(self, loader: Iterable, split: str, seconds: float) -> None:
        self.loader = loader
        self.split = split
        self.seconds = seconds
        self.dataset = loader.dataset if isinstance(loader, DataLoader) else None

    @cached_property
    def first_pass(self) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], list[torch.Tensor], bool, Any]:
        """The first batches, the labels of these and more batches, whether that was all, and what it raised."""
        batches: list = []
        labels: list = []
        kept, values, whole, raised = 0, 0, False, None
        until = time.perf_counter() + self.seconds
        try:
            for batch in self.loader:
                images, targets = unpack(batch)
                if (len(batches) < 2 or values < VALUES_KEPT) and kept < IMAGES_KEPT:
                    batches.append(_beginning(images, targets))
                    kept += len(batches[-1][0])
                    values += batches[-1][0].numel()
                elif self.knows_all_labels:
                    break
                labels.append(targets)
                if time.perf_counter() > until and len(batches) >= 2:
                    break
            else:
                whole = True
        except CannotTell:
            raise
        except Exception as error:  # whatever the learner's loader raises is a finding
            raised = error
        return batches, labels, whole, raised

    @property
    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The first batches of the first epoch, as `(images (B, C, H, W), labels)`; of huge ones the beginning."""
        return self.first_pass[0]

    @property
    def raised(self) -> Exception | None:
        """What the loader raised, if anything."""
        return self.first_pass[3]

    def first_images(self, count: int) -> torch.Tensor:
        """At most so many images of the first batches, (N, C, H, W), in the type in which they come."""
        size, parts = self.batches[0][0].shape[1:], []
        for images, _ in self.batches:
            if images.shape[1:] == size and count > 0:
                parts.append(images[:count])
                count -= len(parts[-1])
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @property
    def whole(self) -> bool:
        """Whether the labels of the whole split are known."""
        return self.knows_all_labels or self.first_pass[2]

    @property
    def knows_all_labels(self) -> bool:
        """Whether the dataset tells its labels without opening an image."""
        return self.stored_labels is not None

    @cached_property
    def stored_labels(self) -> torch.Tensor | None:
        """All labels of the dataset, in its order, or None where only reading images would tell them."""
        if not indexed(self.dataset):
            return None
        labels = stored_labels(self.dataset)
        if labels is None or len(labels) != len(self.dataset):
            return None
        for index in {0, len(labels) // 2, len(labels) - 1}:
            try:
                told = unpack(self.dataset[index])[1]
            except Exception:  # a broken image is reported by the check that reads batches
                return None
            if told.numel() != 1 or int(told) != int(labels[index]):
                return None
        return labels

    @cached_property
    def labels(self) -> torch.Tensor | None:
        """Class indices (N,) of what the loader can draw (or of what was read); None where labels are not indices."""
        if self.stored_labels is not None:
            return self.stored_labels[self.reachable]
        return self._indices(self.first_pass[1])

    def order(self, epoch: int) -> list[list[int]] | None:
        """The image indices of each batch in the first (0) or second (1) pass, or None where the loader hides them."""
        if self._passes is None:
            return None
        return [[number % len(self.dataset) for number in batch] for batch in self._passes[epoch]]

    @cached_property
    def _passes(self) -> list[list[list[int]]] | None:
        """What the sampler gives in two passes, without being told the epoch, as in a plain loop."""
        if not indexed(self.dataset) or self.loader.batch_sampler is None:
            return None
        return [[[int(number) for number in batch] for batch in self.loader.batch_sampler] for _ in range(2)]

    @cached_property
    def reachable(self) -> list[int]:
        """Indices of the images that the loader can draw, in the dataset's order; none where it has no index."""
        if not indexed(self.dataset):
            return []
        everything, sampler = range(len(self.dataset)), self.sampler
        weights, indices = getattr(sampler, "weights", None), getattr(sampler, "indices", None)
        if weights is not None:
            return [index for index, weight in enumerate(weights) if float(weight) > 0 and index in everything]
        if indices is not None:
            return sorted({int(index) for index in indices})
        drawn = [{index for batch in batches for index in batch} for batches in self._passes or ()]
        drawn = [{number % len(self.dataset) for number in numbers} for numbers in drawn]
        without_replacement = drawn and len(drawn[0]) == sum(map(len, self._passes[0]))
        fixed = without_replacement and drawn[0] == drawn[1] and not getattr(self.loader, "drop_last", False)
        return sorted(drawn[0]) if fixed else list(everything)

    @property
    def sampler(self) -> Any:
        """What chooses the images, inside the batch sampler where there is one."""
        return getattr(getattr(self.loader, "batch_sampler", None), "sampler", getattr(self.loader, "sampler", None))

    @property
    def epoch_shifts(self) -> list[int]:
        """What the sampler adds to the indices of each pass: some number images on from epoch to epoch."""
        size = len(self.dataset)
        return [batches[0][0] // size * size if batches else 0 for batches in self._passes]

    @cached_property
    def repeats(self) -> bool:
        """Whether a second pass, without being told the epoch, gives the same batches in the same order.

        Raises:
            CannotTell: if there are too few batches to compare.
        """
        if self._passes is not None and (self._passes[0] != self._passes[1] or _is_plain(self.loader)):
            return self._passes[0] == self._passes[1]
        again = self.again(len(self.batches))
        if not self.batches or len(again) != len(self.batches):
            raise CannotTell(f"the {self.split} loader gives too few batches to compare two epochs")
        return _same(self.batches, again)

    @cached_property
    def reshuffled_by_set_epoch(self) -> bool:
        """Whether a pass after `set_epoch` is another one (this is asked last: the copy stays in that epoch)."""
        set_epoch(self.loader, 1)
        if self._passes is not None and _is_plain(self.loader):
            return [[int(number) for number in batch] for batch in self.loader.batch_sampler] != self._passes[0]
        return not _same(self.batches, self.again(len(self.batches)))

    @cached_property
    def epoch_labels(self) -> list[torch.Tensor]:
        """The class indices of each batch in the order in which one epoch gives them."""
        order = self.order(0)
        if order is not None and self.stored_labels is not None:
            return [self.stored_labels[batch] for batch in order]
        batches = [self._indices([labels]) for labels in self.first_pass[1]]
        return [labels for labels in batches if labels is not None]

    @cached_property
    def batch_sizes(self) -> list[int]:
        """Images in each batch of one epoch (only of those read, where the loader does not tell)."""
        order = self.order(0)
        if order is not None:
            return [len(batch) for batch in order]
        return [len(labels) for labels in self.first_pass[1]]

    @cached_property
    def length(self) -> int | None:
        """Batches in an epoch, where known."""
        try:
            return len(self.loader)
        except TypeError:
            return len(self.first_pass[1]) if self.first_pass[2] else None

    @cached_property
    def class_names(self) -> list[str] | None:
        """Class names in the order of their indices, as the dataset (or the one that it wraps) has them."""
        chain = inner_datasets(self.dataset)
        for outer, dataset in zip([None, *chain], chain, strict=False):
            if outer is not None and _labels_anew(outer, dataset):
                return None
            indices = getattr(dataset, "class_to_idx", None)
            if isinstance(indices, Mapping) and sorted(indices.values()) == list(range(len(indices))):
                return [str(name) for name in sorted(indices, key=indices.get)]
            names = getattr(dataset, "classes", None)
            if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
                return list(names)
        return None

    @cached_property
    def files(self) -> list[Path] | None:
        """The file of each image of the dataset, where the dataset holds file names."""
        return files_of(self.dataset) if indexed(self.dataset) else None

    def item(self, index: int) -> torch.Tensor:
        """The image of one index, as the dataset gives it now."""
        return unpack(self.dataset[index])[0]

    def again(self, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The first batches of another pass."""
        return [_beginning(*unpack(batch)) for batch in islice(self.loader, count)]

    def _indices(self, labels: list[torch.Tensor]) -> torch.Tensor | None:
        whole_numbers = [part.flatten() for part in labels if part.ndim == 1 or part.shape[1:] == (1,)]
        whole_numbers = [part.long() for part in whole_numbers if bool((part == part.long()).all())]
        return torch.cat(whole_numbers) if labels and len(whole_numbers) == len(labels) else None


def _is_plain(loader: Iterable) -> bool:
    """Whether passes over the loader and over its sampler are the same thing; accelerate's loaders do more."""
    return type(loader).__iter__ is DataLoader.__iter__


def _same(first: list[tuple[torch.Tensor, torch.Tensor]], second: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return all(
        a.shape == b.shape and torch.equal(a, b) and torch.equal(x, y)
        for (a, x), (b, y) in zip(first, second, strict=True)
    )


def _beginning(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch, or so much of it that two take no more than what is kept."""
    most = max(FEWEST, VALUES_KEPT // 2 // max(1, images[:1].numel()))
    whole = len(images) <= most or len(labels) != len(images)
    return (images, labels) if whole else (images[:most].clone(), labels[:most].clone())


def _labels_anew(outer: Any, inner: Any) -> bool:
    """Whether a dataset gives other labels than the one that it wraps: then names of the inner one mean nothing."""
    if not indexed(outer) or not hasattr(inner, "__len__") or len(inner) != len(outer):
        return False
    try:
        return any(
            not torch.equal(unpack(outer[index])[1].float(), unpack(inner[index])[1].float())
            for index in {0, len(outer) // 3, len(outer) // 2, len(outer) - 1}
        )
    except Exception:  # a broken image is reported by the check that reads batches
        return False
