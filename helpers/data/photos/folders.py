"""Folders of class folders: found, checked, and split, with everything odd in them named."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from helpers.data.photos.checks import Checked, check_photos, claims_to_be_photo
from helpers.data.photos.splitting import split_by_content
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError, warn

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What the folders of the three splits may be called, in any case."""

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "__pycache__"}
"""What operating systems leave in folders; passed over in silence, like hidden files."""

MOST_BROKEN = 0.1
"""A larger part of unreadable photos is an error."""

NAMED = 30
"""How many files a message names at most."""

Photos = dict[str, list[Path]]


def load_folder(folder: Path, seed: int = 0) -> Task:
    """Load a folder of class folders as a task.

    Either `train`, `val` (or `valid`, `validation`) and perhaps `test` hold one folder per class, or the class folders
    lie in the folder itself and are split here, class by class and by `seed`: 70 % train, 15 % val and 15 % test, or
    80 % train and 20 % val where a class has fewer than 20 photos. `train` alone is split in the same way; with `train`
    and `test`, `val` is 15 % of `train`. Photos may lie in folders within a class folder. Classes are sorted by name.
    Files that are no readable photos are named in one warning and left out.

    Raises:
        HelpersError: if the folder has no such shape, a class is empty or only in `val` or `test`, fewer than two
            classes are left, class names differ only by case or blanks, or over a tenth of the photos is broken.
    """
    places = _split_folders(folder)
    if "test" in places and not _subfolders(places["test"]):
        warn(f"{places['test']} holds no class folders, so its photos have no labels; it is not used.")
        del places["test"]
    found = {part: _class_photos(place) for part, place in places.items()}
    _refuse_lookalikes(found)
    checked = _readable(folder, found)
    classes = _classes(folder, found)
    splits = {part: _split(photos, classes) for part, photos in found.items()}
    _warn_of_repeated(splits, checked)
    digests = [checked[file].digest for file in splits["train"].files]
    if "val" not in splits:
        splits |= split_by_content(splits["train"], classes, digests, seed, test="test" not in splits)
    return Task(folder.resolve().name, classes, splits["train"], splits["val"], splits.get("test"))


def _split_folders(folder: Path) -> dict[str, Path]:
    """Where the splits lie; a folder of class folders is its own `train`."""
    inner = _subfolders(folder)
    found: dict[str, Path] = {}
    for part, names in SPLIT_NAMES.items():
        places = [place for place in inner if place.name.lower() in names]
        if len(places) > 1:
            raise HelpersError(f"{folder} holds both {places[0].name} and {places[1].name}; keep one of them.")
        if places:
            found[part] = places[0]
    train_is_class = "train" in found and len(inner) > len(found) and not _subfolders(found["train"])
    if not found or train_is_class:
        _refuse_extra_level(folder, inner)
        return {"train": folder}
    if "train" not in found:
        raise HelpersError(
            f"{folder} holds {', '.join(place.name for place in found.values())}, but no folder train; "
            "add it, or give a folder that holds one folder per class."
        )
    others = [place.name for place in inner if place not in found.values()]
    if others:
        warn(f"{folder} holds {_listed(others)} beside its splits; they are not used.")
    return found


def _refuse_extra_level(folder: Path, inner: list[Path]) -> None:
    below = [place.name for place in _subfolders(inner[0])] if len(inner) == 1 else []
    if len(below) > 1:
        raise HelpersError(
            f"{folder} holds a single folder, {inner[0].name}, which would be the only class; the classes seem to lie "
            f"in it ({_listed(below)}): give {inner[0]}."
        )


def _class_photos(place: Path) -> Photos:
    """The files of each class folder, hidden files and clutter aside."""
    inner = _subfolders(place)
    _refuse_extra_level(place, inner)
    loose = [entry.name for entry in _entries(place) if not entry.is_dir()]
    if not inner:
        raise HelpersError(
            f"{place} holds no class folders ({len(loose)} files lie in it directly); put the photos of each class "
            "into a folder with the name of the class."
        )
    stray = [name for name in loose if claims_to_be_photo(place / name)]
    if stray:
        warn(f"{place}: {len(stray)} photos lie beside the class folders and belong to no class: {_listed(stray)}.")
    below = [{inner.name for inner in _subfolders(folder)} for folder in inner]
    if len(inner) > 1 and len(below[0]) > 1 and all(names == below[0] for names in below):
        warn(
            f"{place}: each of the class folders {_listed(folder.name for folder in inner)} holds the folders "
            f"{_listed(sorted(below[0]))}. If those are the classes, there is one level too many: merge it away."
        )
    photos: Photos = {}
    for folder in inner:
        name = unicodedata.normalize("NFC", folder.name)  # an accented letter may be spelled in two ways
        photos.setdefault(name, []).extend(_files(folder, set(folder.resolve().parents)))
    return photos


def _files(folder: Path, above: set[Path]) -> Iterator[Path]:
    """All files below a folder, links followed but not in circles; an empty folder named like a photo counts as one."""
    above = above | {folder.resolve()}
    for entry in _entries(folder):
        if entry.is_dir() and not (entry.suffix and claims_to_be_photo(entry) and not _entries(entry)):
            if entry.resolve() not in above:
                yield from _files(entry, above)
        else:
            yield entry


def _refuse_lookalikes(found: dict[str, Photos]) -> None:
    seen: dict[str, str] = {}
    for photos in found.values():
        for name in photos:
            other = seen.setdefault(name.strip().casefold(), name)
            if other != name:
                raise HelpersError(
                    f"the class folders {other!r} and {name!r} differ only by case or blanks; give them one name if "
                    "they are one class, or names that differ."
                )


def _readable(folder: Path, found: dict[str, Photos]) -> dict[Path, Checked]:
    """Leave only readable photos in `found`, name the rest, and return what was found out about each file."""
    files = [file for photos in found.values() for members in photos.values() for file in members]
    others = [file for file in files if not claims_to_be_photo(file)]
    photos = sorted(set(files) - set(others))
    checked = dict(zip(photos, check_photos(photos, folder), strict=True))
    problems = {file: checked[file].problem for file in photos if checked[file].problem}
    named = _listed((f"{file.relative_to(folder)} ({why})" for file, why in problems.items()), "\n  ", "\n  ")
    if len(problems) > max(1, MOST_BROKEN * len(photos)):
        raise HelpersError(
            f"{folder}: {len(problems)} of {len(photos)} photos are unreadable, more than one in ten; "
            f"mend or remove them:{named}"
        )
    if others:
        named += _listed((f"{file.relative_to(folder)} (its content is no image)" for file in others), "\n  ", "\n  ")
    if problems or others:
        warn(f"{folder}: {len(problems) + len(others)} files are no readable photos and are left out:{named}")
    for classes in found.values():
        for name, members in classes.items():
            classes[name] = [file for file in members if file in checked and not checked[file].problem]
    return checked


def _classes(folder: Path, found: dict[str, Photos]) -> tuple[str, ...]:
    """The class names, sorted; the same for all splits."""
    train = found["train"]
    empty = [name for name, members in train.items() if not members]
    if empty:
        raise HelpersError(f"{folder}: no readable training photo of {_listed(empty)}; add some, or remove the folder.")
    for part, photos in found.items():
        for name in photos:
            if name not in train:
                like = difflib.get_close_matches(name, train, 1)
                hint = f"is it {like[0]}?" if like else "add photos of it, or remove it."
                raise HelpersError(f"{folder}: {part} holds the class {name!r}, train does not; {hint}")
        missing = [name for name in train if not photos.get(name)]
        if missing:
            warn(f"{folder}: {part} holds no photo of {_listed(missing)}; its scores say nothing about that.")
    if len(train) < 2:
        raise HelpersError(f"{folder} holds a single class, {_listed(train)}; telling apart takes at least two.")
    return tuple(sorted(train))


def _split(photos: Photos, classes: tuple[str, ...]) -> Split:
    files = [(file, label) for label, name in enumerate(classes) for file in photos.get(name, ())]
    return Split(torch.tensor([label for _, label in files]), files=tuple(file for file, _ in files))


def _warn_of_repeated(splits: dict[str, Split], checked: dict[Path, Checked]) -> None:
    """Name photos that stand in two splits or under two classes, by content."""
    first: dict[str, tuple[str, int, Path]] = {}
    leaks, contradictions = [], []
    for part, split in splits.items():
        for file, label in zip(split.files, split.labels.tolist(), strict=True):
            other_part, other_label, other = first.setdefault(checked[file].digest, (part, label, file))
            if other_part != part:
                leaks.append(f"{other} = {file}")
            elif other_label != label:
                contradictions.append(f"{other} = {file}")
    for pairs, where in (
        (leaks, "stand in two splits, so that scores flatter the model"),
        (contradictions, "stand under two classes"),
    ):
        if pairs:
            warn(f"{len(pairs)} photos {where}; keep one of each: {_listed(pairs, '; ')}.")


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, clutter aside."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise HelpersError(f"{folder} cannot be listed ({error.strerror}); see to its permissions.") from error
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in CLUTTER]


def _listed(names: Iterable[str], between: str = ", ", before: str = "") -> str:
    names = list(names)
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return before * bool(names) + between.join([*names[:NAMED], *more])
