"""What is odd about a set of readable photos, and is said: copies, groups in two splits, a validation set too small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from helpers.data.photos.checks import Checked
from helpers.data.photos.copies import near_copies
from helpers.data.photos.strict import Contents
from helpers.data.tasks import Split
from helpers.errors import note, warn

NAMED = 30
"""How many files a message names at most."""

MOST_COPIES = 4
"""A photo that stands more often in one class is named."""


def listed(names: Iterable[str], between: str = ", ", before: str = "") -> str:
    """Names in a message, of very many only the first."""
    names = list(names)
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return before * bool(names) + between.join([*names[:NAMED], *more])


def copies_of(splits: Mapping[str, Split], checked: Mapping[Path, Checked], classes: Sequence[str]) -> dict[Path, int]:
    """Name copies of a photo in two splits, under two classes, or many times in one class.

    Returns:
        A number for each photo; copies and near copies of one photo have the same.
    """
    photos = [
        (file, part, label)
        for part, split in splits.items()
        for file, label in zip(split.files, split.labels.tolist(), strict=True)
    ]
    numbers = near_copies([checked[file].contents.fingerprint for file, _, _ in photos]).tolist()
    first: dict[object, tuple[Path, str, int]] = {}
    leaks, near_leaks, contradictions = [], [], []
    for photo, number in zip(photos, numbers, strict=True):
        file, part, label = photo
        digest = checked[file].digest
        other, other_part, other_label = first.setdefault(digest, photo)
        if other_part != part:
            leaks.append(f"{other} = {file}")
        elif other_label != label:
            contradictions.append(f"{other} = {file}")
        near, near_part, _ = first.setdefault(number, photo)
        if near_part != part and other_part == part:
            near_leaks.append(f"{near} = {file}")
    for pairs, what in (
        (leaks, "photos stand in two splits, so that scores flatter the model"),
        (near_leaks, "photos look the same as one in another split, so that scores flatter the model"),
        (contradictions, "photos stand under two classes"),
    ):
        if pairs:
            warn(f"{len(pairs)} {what}; keep one of each: {listed(pairs, '; ')}.")
    counts = Counter((label, number) for (_, _, label), number in zip(photos, numbers, strict=True))
    often = [
        f"{first[number][0]} and {count - 1} copies of it in {classes[label]}"
        for (label, number), count in counts.most_common()
        if count > MOST_COPIES
    ]
    if often:
        warn(f"a photo stands many times in a class, and counts as often: {listed(often, '; ')}; keep one of each.")
    return {file: number for (file, _, _), number in zip(photos, numbers, strict=True)}


def name_shared_groups(splits: Mapping[str, Split], groups: Mapping[Path, str]) -> None:
    """Name groups whose photos stand in two splits."""
    members = {part: {groups[file] for file in split.files} for part, split in splits.items()}
    shared = sorted(
        {
            name
            for part, names in members.items()
            for other in members
            if other != part
            for name in names & members[other]
        }
    )
    if shared:
        warn(f"{len(shared)} groups stand in two splits, so that scores flatter the model: {listed(shared)}.")


def name_pages(folder: Path, files: Sequence[Path], contents: Sequence[Contents]) -> None:
    """Name files with several pages."""
    several = [
        f"{file.relative_to(folder)} ({each.pages})"
        for file, each in zip(files, contents, strict=True)
        if each.pages > 1
    ]
    if several:
        note(f"{folder}: {len(several)} files hold several pages, of which the first is read: {listed(several)}.")


def weigh_validation(val: Split, classes: Sequence[str]) -> None:
    """Say where a validation set is so small, or so one-sided, that its accuracy means little."""
    counts = Counter(val.labels.tolist())
    if len(counts) == 1:
        only = classes[next(iter(counts))]
        warn(
            f"all validation photos are of {only}, so that always answering {only} scores 100 %; add the other classes."
        )
    elif max(counts.values()) == 1:
        warn(
            f"the validation set holds a single photo of each class: its accuracy comes in steps of "
            f"{100 / len(val):.0f} %, which means little; add photos."
        )
