"""The photos that a command is given: files, folders, names from standard input; with labels, class folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.errors import HelpersError, warn


def named_photos(words: Sequence[Path]) -> list[Path]:
    """The photos that are meant: files as they are, what a folder holds, and for `-` the lines of standard input.

    Raises:
        HelpersError: if a folder holds no photo.
    """
    photos: list[Path] = []
    for word in words:
        if str(word) == "-":
            photos += [Path(line) for line in sys.stdin.read().splitlines() if line.strip()]
        elif word.is_dir():
            photos += photos_below(word)
        else:
            photos.append(word)
    return photos


def photos_below(folder: Path) -> list[Path]:
    """All readable photos below a folder, sorted; others that are named like photos are listed in a warning.

    Raises:
        HelpersError: if there is none.
    """
    from helpers.data.photos.checks import PHOTO_ENDINGS, check_photos

    inner = (file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.suffix.lower() in PHOTO_ENDINGS)
    files = [folder / file for file in inner if not any(part.startswith(".") for part in file.parts)]
    checked = list(zip(files, check_photos(files, folder), strict=True))
    broken = [f"{file} ({found.problem})" for file, found in checked if found.problem]
    if broken:
        more = f" and {len(broken) - 10} more" if len(broken) > 10 else ""
        warn(f"{len(broken)} of {len(files)} files cannot be read and are left out: {', '.join(broken[:10])}{more}")
    if len(broken) == len(files):
        raise HelpersError(f"{folder} holds no readable photo; give a folder of photos, or the files themselves")
    return [file for file, found in checked if not found.problem]


def labeled_photos(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The photos in a folder of class folders, and the index of each one's class in `classes`.

    Raises:
        HelpersError: if the folder holds no class folders, or one whose name is not among `classes`.
    """
    if not folder.is_dir():
        raise HelpersError(f"there is no folder {folder}; give one that holds one folder per class")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    unknown = [name for name in names if name not in classes]
    if unknown or not names:
        found = f"the folder {unknown[0]}, which is no class of the model" if unknown else "no folders"
        known = ", ".join(classes[:10]) + (" ..." if len(classes) > 10 else "")
        raise HelpersError(f"{folder} holds {found}; give a folder whose folders are named after classes ({known})")
    photos = {photo: classes.index(name) for name in names for photo in photos_below(folder / name)}
    return list(photos), list(photos.values())
