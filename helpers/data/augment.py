"""Data augmentation: random crops, mirror images, and any torchvision transform, reproducible image by image.

What happens to an image depends on the seed, the epoch and the image's index alone. It comes out the same in whichever
batch, worker or process it is made, and after a run was stopped and resumed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from helpers.data.preprocessing import Preprocessing
from helpers.data.transforms import center_crop, empty_batch, resize
from helpers.errors import HelpersError
from helpers.seeding import seed_from, seeded

Transform = Callable[[Tensor], Tensor]

RATIO, TRIES = (3 / 4, 4 / 3), 10
"""Width of a random crop over its height, and how many are tried before the central one; as in torchvision."""

COLUMNS = 32
"""Random numbers drawn for each image, of which the crop takes 22 and the flip one; fewer would change every image."""


@dataclass(frozen=True)
class Augment:
    """What happens to each training image, in this order.

    Attributes:
        crop: least and greatest part of the image's area that a random crop may take before it is resized to the
            network's input (Szegedy et al. 2015; torchvision's `RandomResizedCrop`); None for the central square.
        flip: probability of mirroring it left to right.
        then: any callable on the uint8 image (3, S, S), such as a torchvision v2 transform.

    Raises:
        HelpersError: for values that make no sense.
    """

    crop: tuple[float, float] | None = None
    flip: float = 0.0
    then: Transform | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise HelpersError(f"crop is {self.crop}; give two parts of the area with 0 < least <= greatest <= 1.")
        if not 0 <= self.flip <= 1:
            raise HelpersError(f"flip is {self.flip}; give a probability from 0 to 1.")


def trivial_augment_and_erase(image: Tensor) -> Tensor:
    """TrivialAugment (Müller and Hutter 2021), then, one time in four, a gray rectangle (Zhong et al. 2017)."""
    return _trivial_augment_and_erasing()(image)


@cache
def _trivial_augment_and_erasing() -> Transform:
    from torchvision.transforms import v2  # slow to import

    return v2.Compose([v2.TrivialAugmentWide(fill=128), v2.RandomErasing(0.25, value=128)])


PRESETS = {
    "flip": Augment(flip=0.5),
    "light": Augment(crop=(0.6, 1.0), flip=0.5),
    "standard": Augment(crop=(0.08, 1.0), flip=0.5),
    "strong": Augment(crop=(0.08, 1.0), flip=0.5, then=trivial_augment_and_erase),
}
"""Augmentations by name; "standard" is that of PyTorch's transfer-learning tutorial."""


class Augmentation:
    """Applies an augmentation to batches of images.

    Args:
        augment: a preset's name, an `Augment`, or any callable from a uint8 image (3, H, W) to an image.
        preprocessing: gives S, the side of the network's input in pixels, and how crops are resized to it.
        images: how many images there are.
        seed: of all random numbers.

    Raises:
        HelpersError: if `augment` is none of these.
    """

    def __init__(
        self, augment: str | Augment | Transform, preprocessing: Preprocessing, images: int, seed: int
    ) -> None:
        if isinstance(augment, str) and augment in PRESETS:
            augment = PRESETS[augment]
        if not isinstance(augment, Augment) and not callable(augment):
            names = ", ".join(PRESETS)
            raise HelpersError(f"augment is {augment!r}; give None, one of {names}, an Augment, or any callable.")
        self.augment, self.images, self.seed = augment, images, seed
        self.size, self.interpolation = preprocessing.image_size, preprocessing.interpolation
        self.epoch, self.numbers = -1, np.empty(0)

    def __call__(self, images: Tensor | list[Tensor], indices: Tensor, epoch: int) -> Tensor:
        """Augment images.

        Args:
            images: uint8 (B, 3, H, W), or a list of (3, H, W); they are not changed.
            indices: their indices in the split, int64 (B,).
            epoch: another epoch, other random numbers.

        Returns:
            (B, 3, S, S), uint8 or, where a callable gives it, float in [0, 1].
        """
        augment = self.augment
        if not isinstance(augment, Augment):
            return self._one_by_one(augment, images, indices, epoch)
        if epoch != self.epoch:
            generator, shape = seeded(self.seed, epoch, 1), (self.images, COLUMNS)
            self.epoch, self.numbers = epoch, torch.rand(shape, generator=generator, dtype=torch.float64).numpy()
        numbers = self.numbers[indices.numpy()]
        batch = center_crop(images, self.size) if augment.crop is None else self._crop(images, augment.crop, numbers)
        pixels = batch.permute(0, 2, 3, 1)  # as they lie in memory; image by image is ten times as fast as a mask
        for i in np.flatnonzero(numbers[:, 2 * TRIES + 2] < augment.flip):
            pixels[i] = pixels[i].flip(1)
        return batch if augment.then is None else self._one_by_one(augment.then, batch, indices, epoch)

    def _crop(self, images: Tensor | list[Tensor], area: tuple[float, float], numbers: np.ndarray) -> Tensor:
        batch = empty_batch(len(images), self.size)
        heights, widths = np.array([image.shape[-2:] for image in images]).T
        boxes = _boxes(heights, widths, area, numbers)
        for out, image, (top, left, height, width) in zip(batch, images, boxes.tolist(), strict=True):
            crop = image[:, top : top + height, left : left + width]
            out.copy_(resize(crop, self.size, self.size, self.interpolation))
        return batch

    def _one_by_one(self, transform: Transform, images: Tensor | list[Tensor], indices: Tensor, epoch: int) -> Tensor:
        """Call `transform` on each image, with all global random numbers seeded by seed, epoch and index."""
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()
        views = []
        try:
            for image, index in zip(images, indices.tolist(), strict=True):
                seed = seed_from(self.seed, epoch, 2, index)
                torch.default_generator.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
                views.append(self._checked(transform(image.clone()), image, transform))
        finally:
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])
        return torch.stack(views)

    def _checked(self, view: Tensor, image: Tensor, transform: Transform) -> Tensor:
        if not isinstance(view, Tensor) or view.ndim != 3 or len(view) != 3:
            kind = f"a tensor {tuple(view.shape)}" if isinstance(view, Tensor) else type(view).__name__
            raise HelpersError(f"the augmentation {transform} must give a tensor (3, H, W), not {kind}.")
        if view.dtype != torch.uint8 and (view.min() < -0.01 or view.max() > 1.01):
            raise HelpersError(
                f"the augmentation {transform} gives values outside of [0, 1]; leave normalization to the loader."
            )
        if view.shape == image.shape:
            return center_crop(view, self.size)
        if view.shape[-2:] != (self.size, self.size):
            raise HelpersError(
                f"the augmentation {transform} gives images of {tuple(view.shape[-2:])} pixels, but the weights take "
                f"{self.size} x {self.size}; let it crop to {self.size}, or keep the image's size."
            )
        return view


def _boxes(heights: np.ndarray, widths: np.ndarray, area: tuple[float, float], numbers: np.ndarray) -> np.ndarray:
    """Random crops (top, left, height, width), int (B, 4), by the rule of torchvision's RandomResizedCrop."""
    areas = (heights * widths)[:, None] * (area[0] + (area[1] - area[0]) * numbers[:, :TRIES])
    ratios = RATIO[0] * (RATIO[1] / RATIO[0]) ** numbers[:, TRIES : 2 * TRIES]
    tried_widths, tried_heights = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
    fits = (tried_widths >= 1) & (tried_heights >= 1)
    fits &= (tried_widths <= widths[:, None]) & (tried_heights <= heights[:, None])
    first, found = fits.argmax(1)[:, None], fits.any(1)
    height = np.take_along_axis(tried_heights, first, 1)[:, 0]
    width = np.take_along_axis(tried_widths, first, 1)[:, 0]
    height = np.where(found, height, np.minimum(heights, np.rint(widths / RATIO[0])))
    width = np.where(found, width, np.minimum(widths, np.rint(heights * RATIO[1])))
    top, left = np.where(found, numbers[:, 2 * TRIES : 2 * TRIES + 2].T, 0.5)
    top, left = np.floor(top * (heights - height + 1)), np.floor(left * (widths - width + 1))
    return np.stack([top, left, height, width], 1).astype(np.int64)
