"""From a task to batches: plain PyTorch loaders whose images are cut, augmented and normalized batch by batch.

Two ways lead to the same images. In *memory* mode all images are at hand as uint8 (drawn images, or photos
decoded once into a memory-mapped cache); in *files* mode each photo is decoded whenever it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from helpers.data.augment import Augment, Augmentation, as_augmentation, seeded
from helpers.data.sources import Images, cores, open_task
from helpers.data.tasks import Task
from helpers.data.views import INTERPOLATIONS, center_view, normalize
from helpers.errors import HelpersError

if TYPE_CHECKING:
    from helpers.data.preprocessing import Preprocessing


class Loaders(NamedTuple):
    """The loaders of a task; each yields images float32 (B, 3, S, S) normalized by the preprocessing, labels int64 (B,).

    `train` is shuffled and augmented. `plain` holds the same images in order, not augmented, none left out.
    """

    train: DataLoader
    val: DataLoader
    test: DataLoader | None
    plain: DataLoader


class Batches(Dataset):
    """Images as a dataset that is asked for a whole batch at once (`__getitems__`).

    Image `i` of epoch `e` goes by the number `e * len(dataset) + i`, so that loader workers and several processes
    need no other word about the epoch.
    """

    def __init__(
        self,
        images: Images,
        preprocessing: Preprocessing,
        *,
        batch_size: int,
        augmentation: Augmentation | None = None,
        shuffled: bool = False,
        seed: int = 0,
    ) -> None:
        self.images, self.preprocessing, self.augmentation = images, preprocessing, augmentation
        self.batch_size, self.shuffled, self.seed = batch_size, shuffled, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitems__(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        indices = torch.as_tensor(numbers) % len(self)
        images = self.images.fetch(indices)
        if self.augmentation is None:
            images = center_view(images, self.preprocessing)
        else:
            images = self.augmentation(images, indices, int(numbers[0]) // len(self))
        return normalize(images, self.preprocessing), self.images.labels[indices]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        images, labels = self.__getitems__([number])
        return images[0], labels[0]


class EpochOrder(Sampler[int]):
    """A new order of the images in every epoch, which depends on the dataset's seed and epoch alone."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[int]:
        first = self.batches.epoch * len(self)
        return iter((first + _order(self.batches, self.batches.epoch)).tolist())


def make_loaders(
    task: Task,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    augment: str | Augment | Any | None = None,
    mode: str = "auto",
    workers: int | None = None,
    seed: int = 0,
) -> Loaders:
    """Loaders for a task, prepared as the preprocessing of the weights asks.

    Validation and test images are never augmented: short side to `preprocessing.resize_size`, center `preprocessing.image_size`.
    The training order and every random choice are a function of `(seed, epoch)`; see `set_epoch`.

    Args:
        task: what `load_task` gave.
        preprocessing: size, interpolation, mean and standard deviation that the weights expect.
        batch_size: images a batch. The last, smaller training batch is left out if there is more than one batch.
        augment: None, a preset's name (`helpers.data.augment.PRESETS`), an `Augment`, or any callable from a uint8
            image (3, H, W) to a uint8 or float image, such as a torchvision v2 transform.
        mode: "memory", "files", or "auto": memory when the decoded photos fit `helpers.data.sources.BUDGET`.
        workers: processes that decode in files mode; default: none on two cores or fewer, else up to four.
        seed: of the order and of the augmentation.

    Raises:
        HelpersError: if an argument makes no sense, or photos turn out to be unreadable.
    """
    if batch_size < 1:
        raise HelpersError(f"batch_size is {batch_size}; it must be at least 1.")
    if mode not in ("auto", "memory", "files"):
        raise HelpersError(f"mode is {mode!r}; choose 'auto', 'memory' or 'files'.")
    if preprocessing.resize_size < preprocessing.image_size or preprocessing.interpolation not in INTERPOLATIONS:
        raise HelpersError(
            f"the preprocessing resizes to {preprocessing.resize_size} pixels by {preprocessing.interpolation!r} and crops "
            f"{preprocessing.image_size}; it must resize to at least that, by one of {', '.join(INTERPOLATIONS)}."
        )
    opened = open_task(task, preprocessing, mode)
    augmentation = as_augmentation(augment, preprocessing, len(task.train), seed)

    def loader(images: Images, augmentation: Augmentation | None = None, shuffled: bool = False) -> DataLoader:
        batches = Batches(
            images, preprocessing, batch_size=batch_size, augmentation=augmentation, shuffled=shuffled, seed=seed
        )
        processes = 0 if images.in_memory else _workers(workers)
        return DataLoader(
            batches,
            batch_size=batch_size,
            sampler=EpochOrder(batches) if shuffled else None,
            drop_last=shuffled and len(batches) > batch_size,
            collate_fn=_as_it_is,
            num_workers=processes,
            persistent_workers=processes > 0,
        )

    return Loaders(
        loader(opened["train"], augmentation, shuffled=True),
        loader(opened["val"]),
        loader(opened["test"]) if "test" in opened else None,
        loader(opened["train"]),
    )


def set_epoch(loader: DataLoader, epoch: int) -> None:
    """Choose the order and the augmentation of a training loader (also one that accelerate has prepared)."""
    loader.dataset.epoch = epoch  # not a method of the dataset: accelerate would call it with a count of its own


def batch_names(loader: DataLoader, epoch: int, step: int) -> list[str]:
    """The names of the images in batch `step` of `epoch`, over all processes, for messages."""
    batches: Batches = loader.dataset
    order = _order(batches, epoch) if batches.shuffled else torch.arange(len(batches))
    chosen = order[step * batches.batch_size : (step + 1) * batches.batch_size].tolist()
    return [batches.images.names[i] for i in chosen]


def _order(batches: Batches, epoch: int) -> Tensor:
    return torch.randperm(len(batches), generator=seeded(batches.seed, epoch, 0))


def _as_it_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


def _workers(workers: int | None) -> int:
    if workers is not None:
        return workers
    return 0 if cores() <= 2 or sys.platform != "linux" else min(4, cores() // 2)
