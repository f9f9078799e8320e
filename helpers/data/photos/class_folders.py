"""Where the photos of each split and class lie, by the names of their folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from helpers.data.photos.checks import PHOTO_ENDINGS, claims_to_be_photo
from helpers.data.photos.remarks import listed
from helpers.errors import HelpersError, warn

SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "vld", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
"""What the folders of the splits are called, in any case, with numbers or "set", "data", "images" before or after."""

BESIDE = re.compile(r"(^|(?<=.))(data|set|dataset|images|imgs|photos|split)$")
LIKE_A_SPLIT = re.compile(r"train|val|test|hold.?out|trn|vld|tst", re.I)

CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "__pycache__"}
"""What operating systems leave in folders; passed over in silence, like hidden files."""

HIDDEN = re.compile(r"^(?!.*/(\.ipynb_checkpoints|__MACOSX)/).*/\.[^_]")
"""Paths of hidden files, those aside that Jupyter and macOS (`._name`) make of others."""

Photos = dict[str, list[Path]]


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for ("01_train", "ValSet", "test-images"), or None."""
    words = [word for part in re.findall(r"[^\W\d_]+", name.lower()) if (word := BESIDE.sub("", part))]
    return next((part for part, names in SPLIT_NAMES.items() if len(words) == 1 and words[0] in names), None)


def photos_by_split(folder: Path) -> dict[str, Photos]:
    """The files of each class in each split, as the folders' names say."""
    places = _split_folders(folder)
    if "test" in places and not _subfolders(places["test"]):
        warn(f"{places['test']} holds no class folders, so its photos have no labels; it is not used.")
        del places["test"]
    hidden = [file for file in folder.rglob("*") if HIDDEN.search(f"/{file.relative_to(folder).as_posix()}")]
    hidden = [file for file in hidden if file.suffix.lower() in PHOTO_ENDINGS]
    if hidden:
        warn(f"{folder}: {len(hidden)} photos are hidden (a dot begins a name in their path) and are left out.")
    return {part: _class_photos(place) for part, place in places.items()}


def _split_folders(folder: Path) -> dict[str, Path]:
    """Where the splits lie; a folder of class folders is its own `train`."""
    inner = _subfolders(folder)
    found: dict[str, Path] = {}
    for place in inner:
        part = split_of(place.name)
        if part in found:
            raise HelpersError(f"{folder} holds both {found[part].name} and {place.name}; keep one of them.")
        if part is not None:
            found[part] = place
    others = [place.name for place in inner if place not in found.values()]
    deep = [place for place in found.values() if _subfolders(place)]
    train_is_class = "train" in found and found["train"] not in deep and others
    if not found or train_is_class or (others and not deep):  # classes that are called test, or train, beside others
        if "train" in found and len(found) > 1:
            raise HelpersError(
                f"{folder}: photos lie in {listed(place.name for place in found.values())} without class folders; put "
                f"the photos of each class into a folder, or give a table of labels.{_tables(folder)}"
            )
        _refuse_extra_level(folder, inner)
        return {"train": folder}
    if "train" not in found:
        raise HelpersError(
            f"{folder} holds {', '.join(place.name for place in found.values())}, but no folder train; "
            "add it, or give a folder that holds one folder per class."
        )
    if others:
        warn(f"{folder} holds {listed(others)} beside its splits; they are not used.")
    return {part: _innermost(place, part) for part, place in found.items()}


def _innermost(place: Path, part: str) -> Path:
    """Archives often unpack to train/train: the inner folder."""
    inner = _subfolders(place)
    return _innermost(inner[0], part) if len(inner) == 1 and split_of(inner[0].name) == part else place


def _tables(folder: Path) -> str:
    """A hint at the tables that lie beside photos."""
    tables = [entry for entry in _entries(folder) if entry.suffix.lower() in (".csv", ".tsv")]
    return f" (Is it {listed(map(str, tables))}? Then give --labels {tables[0]}.)" if tables else ""


def _refuse_extra_level(folder: Path, inner: list[Path]) -> None:
    below = [place.name for place in _subfolders(inner[0])] if len(inner) == 1 else []
    if len(below) > 1:
        raise HelpersError(
            f"{folder} holds a single folder, {inner[0].name}, which would be the only class; the classes seem to lie "
            f"in it ({listed(below)}): give {inner[0]}."
        )
    tables = _tables(folder) if len(inner) < 2 else ""
    if tables:
        raise HelpersError(f"{folder} holds no folders of classes, but a table.{tables}")


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
        warn(f"{place}: {len(stray)} photos lie beside the class folders and belong to no class: {listed(stray)}.")
    below = [{inner.name for inner in _subfolders(folder)} for folder in inner]
    names = listed(folder.name for folder in inner)
    if len(inner) > 1 and set.intersection(*below) and LIKE_A_SPLIT.search(names):
        raise HelpersError(
            f"{place} holds {names}, which look like splits, not classes; call them train, val and test."
        )
    if len(inner) > 1 and len(below[0]) > 1 and all(each == below[0] for each in below):
        warn(
            f"{place}: each of the class folders {names} holds the folders {listed(sorted(below[0]))}. If those are "
            "the classes, there is one level too many: merge it away."
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


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, clutter aside."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise HelpersError(f"{folder} cannot be listed ({error.strerror}); see to its permissions.") from error
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in CLUTTER]
