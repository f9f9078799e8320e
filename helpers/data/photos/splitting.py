"""Splitting labeled photos at random, class by class, with copies of one photo, or photos of one group, together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from helpers.data.tasks import Split
from helpers.errors import HelpersError, warn

ENOUGH_FOR_THREE = 20
"""Photos that each class must have for a test split of its own."""


def split_by_content(
    split: Split, classes: Sequence[str], copies: Sequence[int], digests: Sequence[str], seed: int, *, test: bool
) -> dict[str, Split]:
    """Parts "train", "val" and perhaps "test" of a split, each with its share of every class.

    Args:
        split: the labeled photos.
        classes: the class names.
        copies: a number of each photo; copies in one class have the same, and get into the same part.
        digests: a hash of each photo's content, by which a class that holds only near copies is split.
        seed: another seed, another split.
        test: whether a test part is wanted; it is made if each class has `ENOUGH_FOR_THREE` photos.

    Raises:
        HelpersError: if a class has fewer than two different photos.
    """
    groups = [_groups(split, copies, label) for label in range(len(classes))]
    groups = [_groups(split, digests, k) if len(group) < 2 else group for k, group in enumerate(groups)]
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
    """The group of each photo: a column of its table's row, or what a regular expression finds in its path.

    Raises:
        HelpersError: if it is no expression, or puts no two photos together.
    """
    names = {file: file.relative_to(folder).as_posix() for file in files}
    try:
        if rows and group in next(iter(rows.values())):
            found = {file: rows[file][group] for file in files}
        else:
            found = {file: _matched(re.search(group, name)) for file, name in names.items()}
    except re.error as error:
        raise HelpersError(f"the group {group!r} is neither a column nor a regular expression ({error}).") from error
    alone = [names[file] for file in files if not found[file]]
    if len({found[file] or file for file in files}) == len(files):
        raise HelpersError(f"the group {group!r} puts no two photos together, such as {names[files[0]]}; correct it.")
    if alone:
        warn(f"{len(alone)} photos belong to no group {group!r} and stand alone, such as {alone[0]}.")
    return {file: found[file] or names[file] for file in files}


def _matched(match: re.Match[str] | None) -> str:
    return "" if match is None else "/".join(filter(None, match.groups())) or match[0]


def split_by_group(
    split: Split, classes: Sequence[str], groups: Mapping[Path, str], seed: int, *, test: bool
) -> dict[str, Split]:
    """As `split_by_content`, each group whole in one part (scikit-learn's StratifiedGroupKFold).

    Raises:
        HelpersError: if a class has a single group, or there would be no photo of it to train with.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import

    labels, keys = split.labels.numpy(), np.array([groups[file] for file in split.files])
    held = [len(set(keys[labels == label])) for label in range(len(classes))]
    if min(held) < 2:
        raise HelpersError(
            f"all photos of {classes[held.index(1)]} are one group, which cannot lie in train and val; add photos of "
            "others, or make the folders train and val yourself."
        )
    three = test and np.bincount(labels).min() >= ENOUGH_FOR_THREE and min(held) >= 3
    rest, parts = np.arange(len(split)), {}
    for part, most in {"val": 6, "test": 5}.items() if three else [("val", 5)]:
        folds = StratifiedGroupKFold(min(most, *held), shuffle=True, random_state=seed % 2**32)
        train, taken = next(folds.split(rest, labels[rest], keys[rest]))
        parts[part], rest = rest[taken], rest[train]
        held = [count - 1 for count in held]
    for part, members in {"train": rest, **parts}.items():
        gone = [name for label, name in enumerate(classes) if label not in labels[members]]
        if gone and part == "train":
            raise HelpersError(f"the groups leave no photo of {', '.join(gone)} to train with; try another seed.")
        if gone:
            warn(f"the groups leave no photo of {', '.join(gone)} in {part}; its scores say nothing about that.")
    return {part: split.subset(torch.from_numpy(members)) for part, members in {"train": rest, **parts}.items()}
