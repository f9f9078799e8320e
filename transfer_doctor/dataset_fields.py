"""What a dataset stores beside its images: labels, file names, the datasets that it wraps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

LABEL_ATTRIBUTES = ("targets", "target", "labels", "label", "_labels", "y")
INNER_ATTRIBUTES = ("dataset", "subset", "base", "data", "df", "data_frame", "annotations")


def indexed(dataset: Any) -> bool:
    """Whether images can be asked for by index."""
    has_both = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    return has_both and not isinstance(dataset, IterableDataset)


def inner_datasets(dataset: Any) -> list[Any]:
    """A dataset and what it wraps, outermost first."""
    chain = []
    while dataset is not None and len(chain) < 8:
        chain.append(dataset)
        inner = [getattr(dataset, name, None) for name in INNER_ATTRIBUTES]
        inner += list(getattr(dataset, "datasets", ()))[:1]
        dataset = next((d for d in inner if indexed(d) and hasattr(type(d), "__getitem__") and _is_dataset(d)), None)
    return chain


def _is_dataset(item: Any) -> bool:
    return isinstance(item, Dataset) or any(hasattr(item, name) for name in LABEL_ATTRIBUTES)


def stored_labels(dataset: Any) -> torch.Tensor | None:
    """Class indices (N,) that a dataset stores, in its order, or None; the caller checks them against items."""
    if isinstance(dataset, Subset):
        labels = stored_labels(dataset.dataset)
        return None if labels is None else labels[torch.as_tensor(list(dataset.indices), dtype=torch.long)]
    if isinstance(dataset, ConcatDataset):
        parts = [stored_labels(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else torch.cat(parts)
    holders = (dataset, getattr(dataset, "images", None))
    candidates = [getattr(holder, name, None) for holder in holders for name in LABEL_ATTRIBUTES]
    samples = getattr(dataset, "samples", None)
    if isinstance(samples, list) and samples and isinstance(samples[0], (list, tuple)):
        candidates.append([sample[-1] for sample in samples])
    if isinstance(getattr(dataset, "tensors", None), tuple):
        candidates.append(dataset.tensors[-1])
    for values in candidates:
        labels = _whole_numbers(values)
        if labels is not None and len(labels) == len(dataset):
            return labels
    inner = inner_datasets(dataset)[1:2]
    return stored_labels(inner[0]) if inner and len(inner[0]) == len(dataset) else None


def _whole_numbers(values: Any) -> torch.Tensor | None:
    try:
        numbers = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        return None
    if numbers.ndim != 1 or numbers.is_complex() or numbers.dtype == torch.bool:
        return None
    return numbers.long() if bool((numbers == numbers.long()).all()) else None


def files_of(dataset: Any) -> list[Path] | None:
    """The file of each image, in the dataset's order, or None where it holds no file names."""
    if isinstance(dataset, Subset):
        files = files_of(dataset.dataset)
        return None if files is None else [files[i] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [files_of(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [file for part in parts for file in part]
    if not hasattr(dataset, "__dict__"):
        return None
    folders = [Path(v) for v in vars(dataset).values() if isinstance(v, (str, Path)) and Path(v).is_dir()]
    for values in vars(dataset).values():
        if isinstance(values, (list, tuple)) and values and len(values) == len(dataset):
            files = _as_files(values, folders)
            if files:
                return files
    inner = inner_datasets(dataset)[1:2]
    return files_of(inner[0]) if inner and len(inner[0]) == len(dataset) else None


def _as_files(values: Sequence, folders: list[Path]) -> list[Path] | None:
    names = [value[0] if isinstance(value, (list, tuple)) and value else value for value in values]
    if not all(isinstance(name, (str, Path)) for name in names):
        return None
    for folder in (Path(), *folders):
        try:
            if (folder / names[0]).is_file() and (folder / names[-1]).is_file():
                return [folder / name for name in names]
        except OSError:
            return None
    return None
