"""Labels from a table (CSV) instead of class folders, and class names from a file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.data.photos.checks import PHOTO_ENDINGS
from helpers.data.photos.class_folders import split_of
from helpers.errors import HelpersError, note, warn

LABEL_COLUMNS = (
    *("class_name", "label_name", "label", "labels", "class", "category", "species", "breed", "diagnosis", "dx"),
    *("target", "y", "type", "level"),
)
"""What a column of class labels is usually called, the likeliest first."""

Rows = dict[Path, dict[str, str]]


def read_labels(file: Path, folder: Path) -> tuple[dict[str, dict[str, list[Path]]], Rows]:
    """Read a table with one row per photo, and guess what its columns mean (which is said).

    Args:
        file: CSV with column names in its first line, separated by commas, semicolons or tabs.
        folder: where the photos lie, at any depth; the table names them by path or name, with or without ending.

    Returns:
        The photos of each class in each split (all in "train" without a column of splits), and their rows.

    Raises:
        HelpersError: if it cannot be read, no column names photos in `folder`, no column looks like classes, over a
            tenth of its photos is not there, or a photo has two classes.
    """
    table = _read(file)
    places = _places(folder)
    columns = {name: [row[name] for row in table] for name in table[0] if name}
    hits = {name: sum(_find(value, places) is not None for value in values) for name, values in columns.items()}
    photo = max(hits, key=hits.__getitem__)
    if hits[photo] == 0:
        raise HelpersError(f"no column of {file} names photos in {folder}; its columns are {', '.join(columns)}.")
    parts = {name: set(map(split_of, values)) for name, values in columns.items()}
    split = next((name for name, found in parts.items() if "train" in found and None not in found), None)
    others = {name: values for name, values in columns.items() if name not in (photo, split)}
    label = next((name for usual in LABEL_COLUMNS for name in others if name.lower().replace(" ", "_") == usual), None)
    few = [name for name, values in others.items() if 2 <= len(set(values)) <= len(values) / 2]
    label = few[0] if label is None and len(few) == 1 else label
    if label is None:
        raise HelpersError(f"{file} does not say which column holds the classes ({', '.join(others)}); call it label.")
    rows: Rows = {}
    for row in table:
        place = _find(row[photo], places)
        if place is not None and row[label] and rows.setdefault(place, row)[label] != row[label]:
            raise HelpersError(
                f"{file} gives {row[photo]} the classes {rows[place][label]} and {row[label]}; keep one."
            )
    missing = [row[photo] for row in table if _find(row[photo], places) not in rows]
    if missing:
        said = f"{len(missing)} of {len(table)} rows of {file} name no photo that is there, or no class"
        if len(missing) > max(1, 0.1 * len(table)):
            raise HelpersError(f"{said}, such as {missing[0]}; add the photos, or remove the rows.")
        warn(f"{said}: {', '.join(map(str, missing[:10]))}.")
    left = len(set(places.values()) - set(rows) - {None})
    note(
        f"{file.name}: photos from the column {photo!r}, classes from {label!r}"
        + (f", splits from {split!r}" if split else "")
        + (f"; {left} photos in {folder} have no row and are left out." if left else ".")
    )
    found: dict[str, dict[str, list[Path]]] = {}
    for place, row in rows.items():
        found.setdefault(split_of(row[split]) if split else "train", {}).setdefault(row[label], []).append(place)
    return found, rows


def _read(file: Path) -> list[dict[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        table = list(csv.DictReader(lines, delimiter=max(",;\t", key=lines[0].count), restval=""))
        if len(table[0]) < 2:
            raise ValueError("it has a single column")
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise HelpersError(
            f"{file} is no table ({error}); give a CSV file with a column of photos and one of classes."
        ) from error
    return table


def _places(folder: Path) -> dict[str, Path | None]:
    """The photos below a folder by path, name, or either without ending; None for two of one name."""
    files = [file for file in sorted(folder.rglob("[!.]*")) if file.suffix.lower() in PHOTO_ENDINGS]
    places: dict[str, Path | None] = {}
    for file in files:
        for key in {file.relative_to(folder).with_suffix("").as_posix(), file.name, file.stem}:
            places[key] = None if key in places else file
    return places | {file.relative_to(folder).as_posix(): file for file in files}


def _find(name: str, places: Mapping[str, Path | None]) -> Path | None:
    path = name.strip().replace("\\", "/").removeprefix("./")
    return places.get(path) or places.get(path.rpartition("/")[2])


def name_classes(folders: Sequence[str], file: Path) -> dict[str, str]:
    """Names of classes whose folders are called by number or code, in the order of the numbers.

    The file is JSON (a list, or an object from id to name) or text (one name per line, with or without its id before
    it). Ids may begin at 0 or 1, whatever the folders do.

    HelpersError, if the file cannot be read or does not name each class once.
    """
    keys = {folder: _number(folder) for folder in folders}
    try:
        text = file.read_text(encoding="utf-8-sig")
        names = _names(json.loads(text) if file.suffix.lower() == ".json" else text, 0 if 0 in keys.values() else 1)
    except (OSError, ValueError, AttributeError) as error:
        raise HelpersError(f"{file} cannot be read as class names ({error}); give lines of id and name.") from error
    if not names.keys() >= set(keys.values()) and all(isinstance(key, int) for key in (*names, *keys.values())):
        shift = min(names) - min(keys.values())  # one counts from 0, the other from 1
        keys = {folder: key + shift for folder, key in keys.items()}
    order = sorted(folders, key=lambda folder: (isinstance(keys[folder], str), keys[folder]))
    named = {folder: names[keys[folder]] for folder in order if keys[folder] in names}
    if len(set(named.values())) < len(folders):
        missing = ", ".join(folder for folder in order if folder not in named) or "one name for two folders"
        raise HelpersError(f"{file} has no name for {missing}; give each class folder a name of its own.")
    first, last = order[0], order[-1]
    note(f"{file.name}: the class folder {first} is {named[first]!r}, ..., and {last} is {named[last]!r}.")
    return named


def _number(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


def _names(content: dict | list | str, start: int) -> dict[int | str, str]:
    """From id (or folder name) to class name; what has no ids is counted from `start`."""
    if isinstance(content, dict):
        return {_number(key): str(value) for key, value in content.items()}
    lines = [line.strip() for line in (content.splitlines() if isinstance(content, str) else content) if line.strip()]
    pairs = [re.match(r"(\w+)[\s,;:]+(\S.*)", line) for line in lines]
    if all(pairs) and len({_number(pair[1]) for pair in pairs}) == len(lines) and pairs[0][1].isdecimal():
        return {_number(pair[1]): pair[2] for pair in pairs}
    return dict(enumerate(lines, start))
