"""Images and labels inside whatever a loader gives, and which batch an input of the model came from."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from transfer_doctor.watching.record import Batch, Pass, Record

PIXELS = 8  # of each image's first channel, to recognize it by
SAME = 0.99  # correlation of these pixels above which two batches hold the same images in the same order
COMPARED_ON_GPU = 4  # batches of each pass: each comparison waits for the device


def tensors_in(value: Any, depth: int = 4) -> Iterator[torch.Tensor]:
    """All tensors, and arrays as tensors, in nested lists, tuples, mappings and dataclass-like outputs."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, np.ndarray):
        yield from [torch.tensor(value)] if value.dtype.kind in "fi" or value.dtype == np.uint8 else []
    elif depth and isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each, depth - 1)
    elif depth and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for each in value:
            yield from tensors_in(each, depth - 1)
    elif depth and hasattr(value, "__dict__") and not callable(value):
        yield from tensors_in(vars(value), depth - 1)


def images_in(tensors: list[torch.Tensor]) -> torch.Tensor | None:
    """The images of a batch: its largest tensor."""
    return max((t for t in tensors if t.ndim >= 2), key=torch.Tensor.numel, default=None)


def labels_in(tensors: list[torch.Tensor], images: torch.Tensor | None) -> torch.Tensor | None:
    """The class numbers of a batch: its only whole-number tensor with one entry for each image."""
    size = None if images is None else len(images)
    fitting = [t for t in tensors if t is not images and t.ndim >= 1 and t.numel() == len(t) == size]
    whole = [t for t in fitting if not t.is_floating_point() and t.dtype is not torch.bool]
    return whole[0].detach().flatten() if len(whole) == 1 else None


def pixels_of(images: torch.Tensor) -> torch.Tensor:
    """A few pixels of each image: (B, 8)."""
    channel = images[:, 0] if images.ndim >= 4 else images
    flat = channel.detach().flatten(1)
    places = torch.linspace(0, flat.shape[1] - 1, PIXELS + 2)[1:-1].long().to(flat.device)
    return flat[:, places].float()


def note_batch(record: Record, source: Pass, batch: Any) -> None:
    """Remember a batch that a loader hands out."""
    tensors = list(tensors_in(batch))
    images = images_in(tensors)
    size = len(images) if images is not None else next((len(t) for t in tensors if t.ndim), 0)
    source.sizes.append(size)
    labels = labels_in(tensors, images)
    noted = Batch(
        source,
        index=len(source.sizes),
        size=size,
        tensors=[weakref.ref(t) for t in tensors],
        labels=None if labels is None else labels.clone(),
        pixels=None if images is None else pixels_of(images),
    )
    record.recent.append(noted)
    record.unused.append(noted)


def find_batch(record: Record, inputs: list[torch.Tensor]) -> tuple[Batch | None, bool]:
    """Which batch the inputs of the model came from.

    Returns:
        The batch, or `None`, and whether the inputs surely are its images in their order.
    """
    unused, record.unused = record.unused, []
    for batch in reversed(record.recent):
        if any(_same_memory(ref(), t) for ref in batch.tensors for t in inputs):
            return batch, True
    images = images_in(inputs)
    if images is None or not record.recent:
        return None, False
    candidates = [b for b in unused or [record.recent[-1]] if b.size and len(images) % b.size == 0]
    for batch in reversed(candidates):
        if _worth_comparing(images, batch) and _looks_like(images, batch):
            return batch, len(images) == batch.size
    of_one_loader = unused and len({b.source for b in candidates}) == 1
    return (candidates[-1], False) if of_one_loader else (None, False)


def _same_memory(known: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    if known is tensor:
        return True
    return known is not None and known.data_ptr() == tensor.data_ptr() != 0 and known.shape == tensor.shape


def _worth_comparing(images: torch.Tensor, batch: Batch) -> bool:
    return batch.pixels is not None and (not images.is_cuda or batch.index <= COMPARED_ON_GPU)


def _looks_like(images: torch.Tensor, batch: Batch) -> bool:
    """Whether images may be those of a batch, up to brightness and contrast."""
    pair = torch.stack([pixels_of(images[: batch.size]).flatten().cpu(), batch.pixels.flatten().cpu()])
    return bool(torch.corrcoef(pair)[0, 1] > SAME) if pair.shape[1] > 1 else False
