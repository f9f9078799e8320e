"""What is odd about a set of readable photos, and is said: copies, groups in two splits, a validation set too small."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from helpers.data.photos.copies import near_copies
from helpers.data.tasks import Split
from helpers.errors import warn

NAMED = 30
"""How many files a message names at most."""

MOST_COPIES = 4
"""A photo that stands more often in one class is named."""


def listed(names: Iterable[str], between: str = ", ", before: str = "") -> str:
    """Names in a message, of very many only the first."""
    names = list(names)
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return before * bool(names) + between.join([*names[:NAMED], *more])


def number_copies(splits: Mapping[str, Split], fingerprints: Mapping[Path, str], classes: Sequence[str]) -> list[int]:
    """Number all photos in order, (near) copies alike; those in two splits, under two classes, or often are named."""
    labeled = [
        (part, *pair) for part, split in splits.items() for pair in zip(split.files, split.labels.tolist(), strict=True)
    ]
    numbers = near_copies([fingerprints[file] for _, file, _ in labeled])
    alike = defaultdict(list)
    for number, photo in zip(numbers, labeled, strict=True):
        alike[number].append(photo)
    leaks, contradictions, often = [], [], []
    for (part, first, label), *others in alike.values():
        leaks += [f"{first} = {file}" for other, file, _ in others if other != part]
        contradictions += [f"{first} = {file}" for _, file, other in others if other != label]
        counts = Counter(label for _, _, label in [(part, first, label), *others])
        often += [f"{first}: {count} times in {classes[k]}" for k, count in counts.items() if count > MOST_COPIES]
    for found, what in (
        (leaks, "in two splits, so that scores flatter the model"),
        (contradictions, "under two classes"),
        (often, "many times in a class, where they count as often"),
    ):
        if found:
            what = f"the same photos, or near copies, {what} ({len(found)}); keep one of each:"
            warn(what + listed(found, "\n  ", "\n  "))
    return numbers


def weigh_validation(val: Split, classes: Sequence[str]) -> None:
    """Say where a validation set is so small, or so one-sided, that its accuracy means little."""
    counts = Counter(val.labels.tolist())
    if len(counts) == 1:
        only = classes[next(iter(counts))]
        warn(f"all validation photos are of {only}, so that always answering {only} scores 100 %; add other classes.")
    elif max(counts.values()) == 1:
        warn(
            f"the validation set holds a single photo of each class: its accuracy comes in steps of "
            f"{100 / len(val):.0f} %, which means little; add photos."
        )
