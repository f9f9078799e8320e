"""What people call the folders of training, validation and test photos."""

from __future__ import annotations

import re

SPLIT_NAMES = {
    "train": ("train", "training", "trn", "tra"),
    "val": ("val", "valid", "validation", "validate", "vld", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
"""The names of the three splits, in any case, with a number or one of `BESIDE` before or after."""

BESIDE = ("set", "data", "dataset", "images", "imgs", "img", "photos", "pictures", "split", "folder")
_BESIDE = re.compile(f"(?<=.)({'|'.join(BESIDE)})$")
_LIKE_A_SPLIT = re.compile(r"train|valid|test|eval|hold.?out|trn|vld|tst", re.I)


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for: "train", "val", "test" or None.

    Numbers and words like "set" and "images" do not count: "01_train", "ValSet" and "test-images" are splits.
    """
    words = [_BESIDE.sub("", word) for word in re.findall(r"[^\W\d_]+", name.lower())]
    words = [word for word in words if word not in BESIDE]
    return next((part for part, names in SPLIT_NAMES.items() if len(words) == 1 and words[0] in names), None)


def is_like_a_split(name: str) -> bool:
    """Whether a name suggests a split, though not clearly which."""
    return split_of(name) is not None or _LIKE_A_SPLIT.search(name) is not None
