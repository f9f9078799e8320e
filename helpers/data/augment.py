"""Augmentation whose every random number is known beforehand.

For each epoch a table of random numbers is drawn from `(seed, epoch)`, one row per image. So an image comes out the
same whether it is decoded now or was kept in memory, in whichever batch and process it stands, and after a resume.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from helpers.data.views import center_view, empty_batch, resize
from helpers.errors import HelpersError

if TYPE_CHECKING:
    from helpers.data.preprocessing import Preprocessing

Transform = Callable[[Tensor], Tensor]
Augmentation = Callable[[Tensor | list[Tensor], Tensor, int], Tensor]
"""Takes uint8 images, their numbers in the split, and the epoch; gives images (B, 3, S, S)."""

COLORS = ("brightness", "contrast", "saturation")
CROP_TRIES = 10
"""How many random crops are tried before the largest central one is taken, as in torchvision."""


@dataclass(frozen=True)
class Augment:
    """What may happen to a training image, in this order.

    Attributes:
        crop: a crop with an area from this range of parts of the image is resized to the whole
            (Szegedy et al. 2015, "Inception-style"); None takes the central square.
        ratio: range of the crop's width over its height.
        flip: probability of being mirrored left to right.
        brightness: a factor from `1 - brightness` to `1 + brightness`; likewise `contrast` and `saturation`.
        trivial: one random operation of random strength (TrivialAugment, Müller and Hutter 2021).
        erase: probability that a rectangle of 2 to 33 % of the area becomes gray (random erasing, Zhong et al. 2017).
    """

    crop: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    trivial: bool = False
    erase: float = 0.0

    def __post_init__(self) -> None:
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise HelpersError(f"crop is {self.crop}; give two parts of the area with 0 < least <= most <= 1.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise HelpersError(f"ratio is {self.ratio}; give two positive numbers, the smaller one first.")
        for name in ("flip", *COLORS, "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise HelpersError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1.")


PRESETS: dict[str, Augment] = {
    "flip": Augment(flip=0.5),
    "light": Augment(crop=(0.6, 1.0), flip=0.5),
    "standard": Augment(crop=(0.08, 1.0), flip=0.5),
    "strong": Augment(crop=(0.08, 1.0), flip=0.5, trivial=True, erase=0.25),
}
"""Augmentations by name; "standard" is that of PyTorch's transfer-learning tutorial."""


def as_augmentation(
    augment: str | Augment | Transform | None, preprocessing: Preprocessing, images: int, seed: int
) -> Augmentation | None:
    """What `augment` means for a split of so many images.

    Raises:
        HelpersError: if it is neither None, a preset's name, an `Augment`, nor callable.
    """
    if augment is None:
        return None
    if isinstance(augment, str):
        if augment not in PRESETS:
            raise HelpersError(f"there is no augmentation {augment!r}; choose one of {', '.join(PRESETS)}.")
        augment = PRESETS[augment]
    if isinstance(augment, Augment):
        return Augmenter(augment, preprocessing, images, seed)
    if callable(augment):
        return PerPicture(augment, preprocessing, seed)
    raise HelpersError(
        f"augment is {augment!r}; give None, one of {', '.join(PRESETS)}, an Augment, or a callable on an image."
    )


def seeded(*numbers: int) -> torch.Generator:
    """A generator that depends on these numbers alone."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed))


class Augmenter:
    """Applies an `Augment` to whole batches of uint8 images."""

    def __init__(self, augment: Augment, preprocessing: Preprocessing, images: int, seed: int) -> None:
        self.augment, self.preprocessing, self.images, self.seed = augment, preprocessing, images, seed
        self.gray = torch.tensor(preprocessing.mean).mul(255).round().to(torch.uint8)[:, None, None]
        self.recolors = any(getattr(augment, name) for name in COLORS)
        self.trivial = _trivial_augment(self.gray) if augment.trivial else None
        self.epoch, self.table = -1, np.empty(0)

    def __call__(self, images: Tensor | list[Tensor], indices: Tensor, epoch: int) -> Tensor:
        """Augmented images, uint8 (B, 3, S, S)."""
        if epoch != self.epoch:
            generator = seeded(self.seed, epoch, 1)
            self.table = torch.rand((self.images, COLUMNS), generator=generator, dtype=torch.float64).numpy()
            self.epoch = epoch
        rows = self.table[indices.numpy()]
        if self.augment.crop is None:
            batch = center_view(images, self.preprocessing)
        else:
            batch = self._cropped(images, rows[:, CROP])
        pixels = batch.permute(0, 2, 3, 1)  # as they lie in memory; image by image is ten times as fast as a mask
        for i in np.flatnonzero(rows[:, FLIP] < self.augment.flip):
            pixels[i] = pixels[i].flip(1)
        for image, row in zip(batch, rows, strict=True):
            if self.recolors:
                self._recolor(image, row[COLOR])
            if self.trivial is not None:
                with _random_numbers(int(row[SEED] * 2**53)):
                    image.copy_(self.trivial(image))
        for i in np.flatnonzero(rows[:, ERASE.start] < self.augment.erase):
            self._erase(batch[i], rows[i, ERASE][1:])
        return batch

    def _cropped(self, images: Tensor | list[Tensor], rows: np.ndarray) -> Tensor:
        size, interpolation = self.preprocessing.image_size, self.preprocessing.interpolation
        heights, widths = np.array([image.shape[-2:] for image in images]).T
        batch = empty_batch(len(images), size)
        boxes = _boxes(heights, widths, self.augment.crop, self.augment.ratio, rows)
        for out, image, (top, left, height, width) in zip(batch, images, boxes.tolist(), strict=True):
            crop = image[:, top : top + height, left : left + width]
            out.copy_(resize(crop, size, size, interpolation))
        return batch

    def _recolor(self, image: Tensor, draws: np.ndarray) -> None:
        from torchvision.transforms.v2 import functional

        for name, draw in zip(COLORS, draws, strict=True):
            strength = getattr(self.augment, name)
            if strength:
                image.copy_(getattr(functional, f"adjust_{name}")(image, 1 + strength * (2 * draw - 1)))

    def _erase(self, image: Tensor, draws: np.ndarray) -> None:
        size = image.shape[-1]
        area = (0.02 + 0.31 * draws[0]) * size * size
        ratio = 0.3 * (3.3 / 0.3) ** draws[1]
        height, width = (min(size, max(1, round(side))) for side in ((area / ratio) ** 0.5, (area * ratio) ** 0.5))
        top, left = int(draws[2] * (size - height + 1)), int(draws[3] * (size - width + 1))
        image[:, top : top + height, left : left + width] = self.gray


class PerPicture:
    """Applies any callable to one image at a time, with random numbers that depend on image and epoch."""

    def __init__(self, transform: Transform, preprocessing: Preprocessing, seed: int) -> None:
        self.transform, self.preprocessing, self.seed = transform, preprocessing, seed

    def __call__(self, images: Tensor | list[Tensor], indices: Tensor, epoch: int) -> Tensor:
        """Transformed images (B, 3, S, S), uint8, or float in [0, 1]."""
        views = []
        for image, index in zip(images, indices.tolist(), strict=True):
            with _random_numbers(int(np.random.SeedSequence((self.seed, epoch, 2, index)).generate_state(1)[0])):
                views.append(self._checked(self.transform(image.clone()), image))
        return torch.stack(views)

    def _checked(self, view: Tensor, image: Tensor) -> Tensor:
        size = self.preprocessing.image_size
        if not isinstance(view, Tensor) or view.ndim != 3 or len(view) != 3:
            raise HelpersError(f"the augmentation {self.transform} must give a tensor (3, H, W), not {_kind(view)}.")
        if view.dtype != torch.uint8 and (view.min() < -0.01 or view.max() > 1.01):
            raise HelpersError(
                f"the augmentation {self.transform} gives values outside of [0, 1]; leave normalization to the loader."
            )
        if view.shape[-2:] == image.shape[-2:]:
            return center_view(view[None], self.preprocessing)[0]
        if view.shape[-2:] != (size, size):
            raise HelpersError(
                f"the augmentation {self.transform} gives images of {tuple(view.shape[-2:])} pixels, but the weights "
                f"take {size} x {size}; let it crop to {size}, or keep the image's size."
            )
        return view


CROP, FLIP, COLOR, ERASE, SEED = slice(0, 22), 22, slice(23, 26), slice(26, 31), 31
"""Which columns of the table decide what."""
COLUMNS = 32


def _boxes(
    heights: np.ndarray, widths: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float], rows: np.ndarray
) -> np.ndarray:
    """Random crops (top, left, height, width), int (B, 4), by the rule of torchvision's RandomResizedCrop."""
    areas = (heights * widths)[:, None] * (scale[0] + (scale[1] - scale[0]) * rows[:, :CROP_TRIES])
    ratios = ratio[0] * (ratio[1] / ratio[0]) ** rows[:, CROP_TRIES : 2 * CROP_TRIES]
    tried_widths, tried_heights = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
    fits = (tried_widths >= 1) & (tried_heights >= 1)
    fits &= (tried_widths <= widths[:, None]) & (tried_heights <= heights[:, None])
    first = fits.argmax(1)[:, None]
    height = np.take_along_axis(tried_heights, first, 1)[:, 0]
    width = np.take_along_axis(tried_widths, first, 1)[:, 0]
    found = fits.any(1)
    height = np.where(found, height, np.minimum(heights, np.rint(widths / ratio[0])))
    width = np.where(found, width, np.minimum(widths, np.rint(heights * ratio[1])))
    place = np.where(found[:, None], rows[:, 2 * CROP_TRIES : 2 * CROP_TRIES + 2], 0.5)
    top, left = np.floor(place[:, 0] * (heights - height + 1)), np.floor(place[:, 1] * (widths - width + 1))
    return np.stack([top, left, height, width], 1).astype(np.int64)


@contextmanager
def _random_numbers(seed: int) -> Iterator[None]:
    """PyTorch's and Python's own random numbers start from `seed` inside, and go on undisturbed afterwards."""
    states = torch.get_rng_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])


def _trivial_augment(fill: Tensor) -> Transform:
    from torchvision.transforms.v2 import TrivialAugmentWide

    return TrivialAugmentWide(fill=fill.flatten().tolist())


def _kind(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
