"""Images and labels among what a loader or a dataset gives: pairs, dictionaries, longer tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from transfer_doctor.findings import CannotTell

IMAGE_KEYS = ("pixel_values", "images", "image", "img", "imgs", "inputs", "input", "data", "x")
LABEL_KEYS = ("labels", "label", "targets", "target", "y", "classes", "class", "category", "class_id", "label_id")


def unpack(batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of a batch or an item.

    Raises:
        TypeError: if it holds no images with labels.
        CannotTell: if it is a dictionary, and which of its values are images or labels is unclear.
    """
    if isinstance(batch, Mapping):
        images, labels = _of_mapping(batch)
    elif isinstance(batch, (list, tuple)) and len(batch) >= 2:
        images, labels = _of_sequence(batch)
    else:
        raise TypeError(f"a batch is a {type(batch).__name__}, not a pair of (images, labels)")
    if not hasattr(images, "__array__"):
        raise TypeError(f"the images of a batch are a {type(images).__name__}, not a tensor")
    return torch.as_tensor(images), torch.as_tensor(labels)


def _of_mapping(batch: Mapping) -> tuple[Any, Any]:
    """By the usual keys, else the first that looks like images and the only one that looks like labels."""
    images = next((batch[key] for key in IMAGE_KEYS if key in batch), None)
    images = images if images is not None else next((part for part in batch.values() if _is_image(part)), None)
    labels = next((batch[key] for key in LABEL_KEYS if key in batch), None)
    if labels is None:
        others = {key: part for key, part in batch.items() if part is not images and _is_number(part)}
        named = [key for key in others if any(word in str(key).lower() for word in ("label", "class", "target"))]
        labels = others[(named or list(others))[0]] if len(named) == 1 or len(others) == 1 else None
    if images is None or labels is None:
        raise CannotTell(
            f"its batches are dictionaries with the keys {sorted(map(str, batch))}, and which of them are images and "
            'labels is unclear; call them "image" and "label"'
        )
    return images, labels


def _of_sequence(parts: Sequence) -> tuple[Any, Any]:
    """Usually the first two; file names may stand before them, a second image between."""
    first = next((i for i, part in enumerate(parts) if _is_image(part)), 0)
    others = [*parts[first + 1 :], *parts[:first]]
    return parts[first], next((part for part in others if _is_number(part)), others[0])


def _is_image(part: Any) -> bool:
    return getattr(part, "ndim", 0) >= 3


def _is_number(part: Any) -> bool:
    return isinstance(part, (int, float)) or 0 <= getattr(part, "ndim", -1) < 3
