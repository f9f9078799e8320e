"""Data loaders: a task's images in batches, cropped, augmented and normalized for a network.

In *memory* mode all images are at hand as uint8 (drawn images, or photos decoded once into a file that is mapped into
memory); in *files* mode each photo is decoded whenever it is asked for. Both modes give the same batches.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from helpers.data.augment import Augment, Augmentation, Transform
from helpers.data.photos.sources import Images, open_task, usual_workers
from helpers.data.preprocessing import Preprocessing
from helpers.data.tasks import Task
from helpers.data.transforms import center_crop, normalize
from helpers.errors import HelpersError
from helpers.seeding import seeded

INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "nearest-exact")
"""The resampling filters that a preprocessing may name."""


class Loaders(NamedTuple):
    """The data loaders of a task; each yields normalized images, float32 (B, 3, S, S), and labels, int64 (B,).

    `train` is shuffled and augmented, anew on each pass. `plain` holds the same images in order, unaugmented.
    """

    train: DataLoader
    val: DataLoader
    test: DataLoader | None
    plain: DataLoader


class Batches(Dataset):
    """A dataset that is asked for whole batches (`__getitems__`).

    Image `i` of epoch `e` goes by the number `e * len(dataset) + i`, so that loader workers and other processes know
    the epoch without being told.
    """

    def __init__(self, images: Images, preprocessing: Preprocessing, augmentation: Augmentation | None = None) -> None:
        self.images, self.preprocessing, self.augmentation = images, preprocessing, augmentation

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitems__(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        indices = torch.as_tensor(numbers) % len(self)
        images = self.images.fetch(indices)
        if self.augmentation is None:
            images = center_crop(images, self.preprocessing.image_size)
        else:
            images = self.augmentation(images, indices, int(numbers[0]) // len(self))
        return normalize(images, self.preprocessing), self.images.labels[indices]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        images, labels = self.__getitems__([number])
        return images[0], labels[0]


class EpochSampler(Sampler[int]):
    """Shuffles by seed and epoch alone, and counts epochs: each pass over the images is the next one.

    Attributes:
        epoch: the epoch of the next pass; see `set_epoch`. (A method of that name would be called by accelerate.)
        weights: None, or how likely each image is to be drawn, with replacement, float (N,).
    """

    weights: Tensor | None = None

    def __init__(self, images: int, seed: int) -> None:
        self.images, self.seed, self.epoch = images, seed, 0

    def __len__(self) -> int:
        return self.images

    def __iter__(self) -> Iterator[int]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        yield from (epoch * self.images + self.order(epoch)).tolist()

    def order(self, epoch: int) -> Tensor:
        """The images' indices in the order of an epoch, int64 (N,)."""
        generator = seeded(self.seed, epoch, 0)
        if self.weights is not None:
            return torch.multinomial(self.weights, self.images, replacement=True, generator=generator)
        return torch.randperm(self.images, generator=generator)


def make_loaders(
    task: Task,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    augment: str | Augment | Transform | None = None,
    mode: str = "auto",
    workers: int | None = None,
    seed: int = 0,
) -> Loaders:
    """Make the data loaders of a task: for training, validation and test.

    Images are resized, cropped and normalized as `preprocessing` says; only training images are augmented. Order and
    augmentation are a function of `(seed, epoch)`, and each pass over `train` is the next epoch; see `set_epoch`.

    Args:
        task: what `load_task` gave.
        preprocessing: of the weights, `model.preprocessing`.
        batch_size: images per batch. The last, smaller training batch is left out if there is more than one batch.
        augment: None; a preset's name, "flip", "light", "standard" or "strong"; an `Augment`; or any callable from a
            uint8 image (3, H, W) to a uint8 or float image, such as a torchvision v2 transform.
        mode: "memory", "files", or "auto": memory unless the decoded photos take more than 4 GiB of disk.
        workers: processes that decode photos in files mode; by default none on two cores or fewer, else up to four.
        seed: of the order and of the augmentation.

    Raises:
        HelpersError: if an argument makes no sense, or photos turn out to be unreadable.
    """
    if batch_size < 1:
        raise HelpersError(f"batch_size is {batch_size}; it must be at least 1.")
    if mode not in ("auto", "memory", "files"):
        raise HelpersError(f"mode is {mode!r}; choose 'auto', 'memory' or 'files'.")
    size, resize, interpolation = preprocessing.image_size, preprocessing.resize_size, preprocessing.interpolation
    if resize < size or interpolation not in INTERPOLATIONS:
        raise HelpersError(
            f"the preprocessing resizes to {resize} pixels by {interpolation!r} and crops {size}; it must resize to "
            f"at least that, by one of {', '.join(INTERPOLATIONS)}."
        )
    preprocessing = preprocessing.for_values(task.value_range)
    augmentation = None if augment is None else Augmentation(augment, preprocessing, len(task.train), seed)
    images = open_task(task, preprocessing, mode)

    def loader(part: str, shuffled: bool = False) -> DataLoader:
        processes = 0 if images[part].in_memory else usual_workers() if workers is None else workers
        batches = Batches(images[part], preprocessing, augmentation if shuffled else None)
        return DataLoader(
            batches,
            batch_size,
            sampler=EpochSampler(len(batches), seed) if shuffled else None,
            drop_last=shuffled and len(batches) > batch_size,
            collate_fn=tuple,
            num_workers=processes,
            persistent_workers=processes > 0,
        )

    test = None if task.test is None else loader("test")
    return Loaders(loader("train", shuffled=True), loader("val"), test, plain=loader("train"))


def set_epoch(loader: DataLoader, epoch: int) -> None:
    """Choose the epoch of the next pass over a training loader, which may be one that accelerate has prepared.

    A loop that starts at the first epoch needs no call; one that goes on where another stopped does.
    """
    _sampler(loader).epoch = epoch


def batch_names(loader: DataLoader, epoch: int, step: int) -> list[str]:
    """The names of the images in batch `step` of an epoch, over all processes, for messages."""
    sampler, names, size = _sampler(loader), loader.dataset.images.names, loader.batch_sampler.batch_size
    order = sampler.order(epoch).tolist() if isinstance(sampler, EpochSampler) else range(len(names))
    return [names[i] for i in order[step * size : (step + 1) * size]]


def _sampler(loader: DataLoader) -> Sampler:
    batches = loader.batch_sampler
    while not hasattr(batches, "sampler"):  # accelerate puts its own batch samplers around PyTorch's
        batches = batches.batch_sampler
    return batches.sampler
