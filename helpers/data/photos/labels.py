"""Labels from a table (CSV) instead of class folders, and class names from a file."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from helpers.data.photos.checks import PHOTO_ENDINGS
from helpers.data.photos.split_names import split_of
from helpers.errors import HelpersError, note, warn

LABEL_COLUMNS = (
    *("class_name", "classname", "label_name", "label", "labels", "class", "category", "species", "breed", "diagnosis"),
    *("dx", "target", "y", "type", "level"),
)
"""What a column of class labels is usually called, the likeliest first."""

SPLIT_COLUMNS = ("split", "set", "subset", "partition", "usage", "dataset", "fold")


@dataclass(frozen=True)
class Table:
    """Photos and what a table says about them.

    Attributes:
        rows: of each photo, the value in each column.
        label: the column of the classes; None where each class has a column of its own with 0 and 1.
        split: the column of the splits, or None.
        classes: the columns of 0 and 1, where `label` is None.
    """

    rows: dict[Path, dict[str, str]]
    label: str | None
    split: str | None
    classes: tuple[str, ...] = ()

    def found(self) -> dict[str, dict[str, list[Path]]]:
        """The photos of each class in each split; all in "train" without a column of splits."""
        found: dict[str, dict[str, list[Path]]] = {}
        for photo, row in self.rows.items():
            part = "train" if self.split is None else split_of(row[self.split])
            name = row[self.label] if self.label else next(name for name in self.classes if float(row[name]) == 1)
            found.setdefault(part, {}).setdefault(name, []).append(photo)
        return found


def read_labels(file: Path, folder: Path) -> Table:
    """Read a table with one row per photo, and guess what its columns mean (which is said).

    Args:
        file: CSV or the like, separated by commas, semicolons or tabs; with or without a row of column names.
        folder: where the photos lie, at any depth; the table names them by path or name, with or without ending.

    Raises:
        HelpersError: if it cannot be read, no column names photos in `folder`, no column looks like classes, over a
            tenth of its photos is not there, or a photo has two classes.
    """
    header, rows = _read(file)
    photos = _Photos(folder)
    if any(photos.find(cell) for cell in header):
        header, rows = [f"column {i + 1}" for i in range(len(header))], [header, *rows]
    table = [dict(zip_longest(header, row[: len(header)], fillvalue="")) for row in rows]
    if not table:
        raise HelpersError(f"{file} holds no rows; give a table with one row per photo.")
    hits = {name: sum(photos.find(row[name]) is not None for row in table[:500]) for name in header}
    photo = max(header, key=lambda name: hits[name])
    if hits[photo] == 0:
        raise HelpersError(f"no column of {file} names photos in {folder}; its columns are {', '.join(header)}.")
    split = next((name for name in header if name.lower() in SPLIT_COLUMNS and _are_splits(table, name)), None)
    others = [name for name in header if name not in (photo, split)]
    label, classes = _label_column(file, table, others)
    placed, missing = {}, []
    for row in table:
        place = photos.find(row[photo])
        if place is None or (label and not row[label]):
            missing.append(row[photo])
        elif placed.setdefault(place, row) != row and label and placed[place][label] != row[label]:
            raise HelpersError(
                f"{file} gives {row[photo]} the classes {placed[place][label]} and {row[label]}; keep one."
            )
    if missing:
        said = f"{len(missing)} of {len(table)} rows of {file} name no photo that is there, or no class: "
        said += ", ".join(missing[:10]) + " ..." * (len(missing) > 10)
        if len(missing) > max(1, 0.1 * len(table)):
            raise HelpersError(f"{said}; add the photos, or remove the rows.")
        warn(said)
    left = photos.count - len(placed)
    note(
        f"{file.name}: photos from the column {photo!r}, classes from {label or ', '.join(classes)!r}"
        + (f", splits from {split!r}" if split else "")
        + (f"; {left} photos in {folder} have no row and are left out." if left else ".")
    )
    return Table(placed, label, split, classes)


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise HelpersError(f"{file} cannot be read ({why}); give a CSV file with one row per photo.") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=separator) if row]
    if not rows or len(rows[0]) < 2:
        raise HelpersError(f"{file} has no two columns; give a CSV file with a column of photos and one of classes.")
    return rows[0], rows[1:]


class _Photos:
    """The photos below a folder, by path, name, or name without ending."""

    def __init__(self, folder: Path) -> None:
        paths = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if _is_shown_photo(file, folder)]
        self.places: dict[str, Path | None] = {}
        for path in paths:
            for key in {path.with_suffix("").as_posix(), path.name, path.stem}:
                self.places[key] = None if key in self.places else folder / path  # None: two of that name
        self.places |= {path.as_posix(): folder / path for path in paths}
        self.count = len(paths)

    def find(self, name: str) -> Path | None:
        path = name.replace("\\", "/").removeprefix("./")
        tails = (path, *(path.split("/", depth)[-1] for depth in range(1, path.count("/") + 1)))
        return next((self.places[tail] for tail in tails if self.places.get(tail)), None)


def _is_shown_photo(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in PHOTO_ENDINGS


def _are_splits(table: Sequence[dict[str, str]], name: str) -> bool:
    return all(split_of(row[name]) for row in table)


def _label_column(
    file: Path, table: Sequence[dict[str, str]], names: Sequence[str]
) -> tuple[str | None, tuple[str, ...]]:
    for usual in LABEL_COLUMNS:
        for name in names:
            if name.lower().replace(" ", "_") == usual:
                return name, ()
    binary = tuple(name for name in names if {row[name] for row in table} <= {"0", "1", "0.0", "1.0"})
    if len(binary) > 1 and all(sum(float(row[name]) for name in binary) == 1 for row in table):
        return None, binary
    few = [name for name in names if 2 <= len({row[name] for row in table}) <= len(table) / 2]
    if len(few) == 1:
        return few[0], ()
    raise HelpersError(
        f"{file} does not say which column holds the classes ({', '.join(names)}); call it label in the first line."
    )


def name_classes(folders: Sequence[str], file: Path) -> dict[str, str]:
    """Names of classes whose folders are called by number or code, in the order of the numbers.

    Args:
        folders: names of class folders, such as "1" or "007".
        file: JSON (a list, or an object from id to name) or text (one name per line, with or without its id before
            it). Ids may begin at 0 or 1, whatever the folders do.

    Returns:
        The name of each folder, in the order of the ids.

    Raises:
        HelpersError: if the file cannot be read, or does not name each class once.
    """
    keys: dict[str, int | str] = {folder: int(folder) if folder.isdecimal() else folder for folder in folders}
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text) if file.suffix.lower() == ".json" else text.strip().splitlines()
        names = _names(content, start=0 if 0 in keys.values() else 1)
    except (OSError, ValueError, TypeError) as error:
        raise HelpersError(f"{file} cannot be read as class names ({error}); give lines of id and name.") from error
    numbers = [key for key in names if isinstance(key, int)]
    if not set(keys.values()) <= set(names) and numbers and all(isinstance(key, int) for key in keys.values()):
        shift = min(numbers) - min(keys.values())  # one counts from 0, the other from 1
        keys = {folder: key + shift for folder, key in keys.items()}
    missing = [folder for folder, key in keys.items() if key not in names]
    if missing:
        raise HelpersError(f"{file} has no name for {', '.join(missing[:10])}; add a line for each class folder.")
    order = sorted(folders, key=lambda folder: (isinstance(keys[folder], str), keys[folder]))
    named = {folder: names[keys[folder]] for folder in order}
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise HelpersError(f"{file} gives two classes the name {', '.join(twice[:5])}; give each its own.")
    first, last = order[0], order[-1]
    note(f"{file.name}: the class folder {first} is {named[first]!r}, ..., and {last} is {named[last]!r}.")
    return named


def _names(content: object, start: int) -> dict[int | str, str]:
    """From id (or folder name) to class name; lines without ids are counted from `start`."""
    if isinstance(content, dict):
        pairs = list(content.items())
    else:
        lines = [str(line).strip() for line in content if str(line).strip()]
        split = [re.match(r"(\d+)[\s,;:.]+(\S.*)", line) for line in lines]
        pairs = [(found[1], found[2]) for found in split] if all(split) else list(enumerate(lines, start))
    names = {}
    for key, value in pairs:
        if isinstance(value, list) and len(value) == 2:  # as ImageNet's: id, folder name, class name
            key, value = value
        if str(value).isdecimal() and not str(key).isdecimal():  # from name to id
            key, value = value, key
        names[int(key) if str(key).isdecimal() else key] = str(value)
    return names
