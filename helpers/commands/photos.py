"""The photos that a command is given: files, folders, names from standard input; with labels, class folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import HelpersError, warn


def named_photos(words: Sequence[Path]) -> list[Path]:
    """The photos that are meant: files as they are, what a folder holds, and for `-` the lines of standard input."""
    from helpers.data.photos.checks import PHOTO_ENDINGS

    photos: list[Path] = []
    for word in words:
        if word.is_dir():
            files = (file for file in word.rglob("[!.]*") if file.suffix.lower() in PHOTO_ENDINGS)
            photos += readable(sorted(files), word)
        else:
            photos += [word] if str(word) != "-" else map(Path, filter(None, sys.stdin.read().splitlines()))
    return photos


def labeled_photos(folder: Path, classes: Sequence[str]) -> dict[Path, int]:
    """The photos in a folder of class folders (of several splits: the last), with the index of each one's class.

    Raises:
        HelpersError: if there are no such folders, or one whose name is not among `classes`.
    """
    from helpers.data.photos.class_folders import photos_by_split

    *_, found = photos_by_split(folder).values()
    unknown, known = sorted(set(found) - set(classes)), ", ".join(classes[:20])
    if unknown:
        raise HelpersError(f"{folder} holds {unknown[0]}, which is none of the model's classes: {known}")
    return {photo: classes.index(name) for name, files in found.items() for photo in readable(files, folder)}


def readable(files: list[Path], folder: Path) -> list[Path]:
    """Those files below a folder that are readable photos; the others are named in a warning."""
    from helpers.data.photos.checks import check_photos

    problems = {file: found.problem for file, found in zip(files, check_photos(files, folder), strict=True)}
    broken = [f"{file} ({problem})" for file, problem in problems.items() if problem]
    if broken:
        warn(f"{len(broken)} of {len(files)} files cannot be read and are left out: {', '.join(broken[:10])}")
    return [file for file, problem in problems.items() if not problem]
