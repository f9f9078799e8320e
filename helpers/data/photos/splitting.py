"""Splitting labeled photos at random, class by class, with copies of one photo, or photos of one group, together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from helpers.data.tasks import Split
from helpers.errors import HelpersError, warn

ENOUGH_FOR_THREE = 20
"""Photos that each class must have for a test split of its own."""


def split_by_content(
    split: Split, classes: Sequence[str], copies: Sequence[object], seed: int, *, test: bool
) -> dict[str, Split]:
    """Parts "train", "val" and perhaps "test" of a split, each with its share of every class.

    Args:
        split: the labeled photos.
        classes: the class names.
        copies: a key of each photo; photos of one class with the same key get into the same part.
        seed: another seed, another split.
        test: whether a test part is wanted; it is made if each class has `ENOUGH_FOR_THREE` photos.

    Raises:
        HelpersError: if a class has fewer than two different photos.
    """
    groups = [_groups(split, copies, label) for label in range(len(classes))]
    scarce = [f"{name} ({len(group)})" for name, group in zip(classes, groups, strict=True) if len(group) < 2]
    if scarce:
        raise HelpersError(
            f"too few different photos to split into train and val: {', '.join(scarce)}; add photos, or make the "
            "folders train and val yourself."
        )
    generator = torch.Generator().manual_seed(seed)
    if test and min(map(len, groups)) >= ENOUGH_FOR_THREE:
        shares = {"val": 0.15, "test": 0.15}
    else:
        shares = {"val": 0.2 if test else 0.15}
    parts: dict[str, list[int]] = {part: [] for part in ("train", *shares)}
    for group in groups:
        order = [group[i] for i in torch.randperm(len(group), generator=generator).tolist()]
        for part, share in shares.items():
            taken = max(1, round(share * len(group)))
            parts[part] += [i for same in order[:taken] for i in same]
            order = order[taken:]
        parts["train"] += [i for same in order for i in same]
    return {part: split.subset(torch.tensor(sorted(members))) for part, members in parts.items()}


def _groups(split: Split, copies: Sequence[object], label: int) -> list[list[int]]:
    """The places of a class's photos, copies of one photo together."""
    groups: dict[object, list[int]] = {}
    for i in (split.labels == label).nonzero()[:, 0].tolist():
        groups.setdefault(copies[i], []).append(i)
    return list(groups.values())


def groups_of(
    group: str, files: Sequence[Path], folder: Path, rows: Mapping[Path, Mapping[str, str]]
) -> dict[Path, str]:
    """The group of each photo; a photo of none is a group of its own.

    Args:
        group: a column of the table, or a regular expression for the photos' paths.
        files: the photos.
        folder: the paths are those within it.
        rows: the table's row of each photo; empty without a table.

    Raises:
        HelpersError: if it is no expression, or puts no two photos together.
    """
    names = {file: file.relative_to(folder).as_posix() for file in files}
    if rows and group in next(iter(rows.values())):
        found = {file: rows[file][group] for file in files}
    else:
        try:
            matches = {file: re.search(group, name) for file, name in names.items()}
        except re.error as error:
            raise HelpersError(
                f"the group {group!r} is neither a column nor a regular expression ({error})."
            ) from error
        found = {
            file: "/".join(filter(None, match.groups())) or match[0] if match else "" for file, match in matches.items()
        }
    alone = [name for file, name in names.items() if not found[file]]
    found = {file: value or names[file] for file, value in found.items()}
    if len(set(found.values())) == len(files):
        raise HelpersError(
            f"the group {group!r} puts no two photos together, such as {names[files[0]]}; see to its spelling."
        )
    if alone:
        warn(f"{len(alone)} photos belong to no group {group!r} and stand alone, such as {alone[0]}.")
    return found


def split_by_group(
    split: Split, classes: Sequence[str], groups: Mapping[Path, str], seed: int, *, test: bool
) -> dict[str, Split]:
    """Parts "train", "val" and perhaps "test", each group whole in one of them (scikit-learn's StratifiedGroupKFold).

    Args:
        split: the labeled photos.
        classes: the class names.
        groups: the group of each photo.
        seed: another seed, another split.
        test: whether a test part is wanted; it is made if each class has `ENOUGH_FOR_THREE` photos.

    Raises:
        HelpersError: if a class has a single group, or there is none left to train with.
    """
    labels, keys = split.labels.numpy(), np.array([groups[file] for file in split.files])
    single = [name for label, name in enumerate(classes) if len(set(keys[labels == label])) < 2]
    if single:
        raise HelpersError(
            f"all photos of {', '.join(single)} are one group, which cannot lie in train and val; add photos of "
            "others, or make the folders train and val yourself."
        )
    rest, parts = np.arange(len(split)), {}
    wanted = ("val", "test") if test and np.bincount(labels).min() >= ENOUGH_FOR_THREE else ("val",)
    for part in wanted:
        folds = min(6 if len(wanted) > 1 else 5, len(set(keys[rest])))
        split_up = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
        train, taken = next(split_up.split(rest, labels[rest], keys[rest]))
        parts[part], rest = rest[taken], rest[train]
    gone = sorted(set(range(len(classes))) - set(labels[rest]))
    if gone:
        raise HelpersError(
            f"no photo of {', '.join(classes[label] for label in gone)} would be left to train with; try another seed."
        )
    return {part: split.subset(torch.from_numpy(members)) for part, members in {"train": rest, **parts}.items()}
