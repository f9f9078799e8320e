"""Splitting labeled photos at random, class by class, with copies of one photo kept together."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from helpers.data.tasks import Split
from helpers.errors import HelpersError

ENOUGH_FOR_THREE = 20
"""Photos that each class must have for a test split of its own."""


def split_by_content(
    split: Split, classes: Sequence[str], digests: Sequence[str], seed: int, *, test: bool
) -> dict[str, Split]:
    """Parts "train", "val" and perhaps "test" of a split, each with its share of every class.

    Args:
        split: the labeled photos.
        classes: the class names.
        digests: a hash of each photo's content; photos with the same hash get into the same part.
        seed: another seed, another split.
        test: whether a test part is wanted; it is made if each class has `ENOUGH_FOR_THREE` photos.

    Raises:
        HelpersError: if a class has fewer than two different photos.
    """
    groups = [_groups(split, digests, label) for label in range(len(classes))]
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


def _groups(split: Split, digests: Sequence[str], label: int) -> list[list[int]]:
    """The places of a class's photos, copies of one photo together."""
    groups: dict[str, list[int]] = {}
    for i in (split.labels == label).nonzero()[:, 0].tolist():
        groups.setdefault(digests[i], []).append(i)
    return list(groups.values())
