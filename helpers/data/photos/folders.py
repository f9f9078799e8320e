"""Folders of photos as tasks: found, checked, and split, with everything odd in them named."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path

import torch

from helpers.data.photos import remarks
from helpers.data.photos.checks import Checked, check_photos, claims_to_be_photo, is_pipe
from helpers.data.photos.class_folders import Photos, photos_by_split
from helpers.data.photos.labels import name_classes, read_labels
from helpers.data.photos.remarks import listed
from helpers.data.photos.splitting import groups_of, split_by_content, split_by_group
from helpers.data.photos.values import choose_range
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError, note, warn

MOST_BROKEN = 0.1
"""A larger part of unreadable photos is an error."""


def load_folder(
    folder: Path,
    seed: int = 0,
    *,
    labels: str | Path | None = None,
    group: str | None = None,
    class_names: str | Path | None = None,
) -> Task:
    """Load a folder of class folders as a task.

    Either `train`, `val` and perhaps `test` (`SPLIT_NAMES` has other spellings) hold one folder per class, or the class
    folders lie in the folder itself and are split here, class by class and by `seed`: 70 % train, 15 % val and 15 %
    test, or 80 % train and 20 % val where a class has fewer than 20 photos. `train` alone is split in the same way;
    with `train` and `test`, `val` is 15 % of `train`. Copies and near copies of a photo stay in one part. Photos may
    lie in folders within a class folder. Classes are sorted by name. Files that are no readable photos are named in one
    warning and left out.

    Args:
        folder: where the photos lie.
        seed: another seed, another split.
        labels: a CSV file with one row per photo, instead of class folders; see `helpers.data.photos.labels`.
        group: which photos belong together (of one patient, film, place) and must not be split: a column of `labels`,
            or a regular expression searched for in each photo's path, whose groups (or whole match) name it.
        class_names: a file with the names of classes whose folders are called by number or code.

    Raises:
        HelpersError: if the folder has no such shape, a class is empty or only in `val` or `test`, there is only one,
            names differ only by case, over a tenth of the photos is broken, or the arguments do not fit them.
    """
    found, rows = read_labels(Path(labels), folder) if labels is not None else (photos_by_split(folder), {})
    _refuse_lookalikes(found)
    checked = _readable(folder, found)
    classes = _classes(folder, found)
    names = {name: name for name in classes} if class_names is None else name_classes(classes, Path(class_names))
    splits = {part: _split(photos, tuple(names)) for part, photos in found.items()}
    classes, train = tuple(names.values()), splits["train"]
    copies = remarks.number_copies(splits, {file: checked[file].fingerprint for file in checked}, classes)
    files = [file for split in splits.values() for file in split.files]
    groups = {} if group is None else groups_of(group, files, folder, rows)
    if "val" in splits:
        members = [{groups[file] for file in split.files} for split in splits.values() if groups]
        shared = sorted(
            name for name, count in Counter(name for names in members for name in names).items() if count > 1
        )
        if shared:
            warn(f"{len(shared)} groups stand in two splits, so that scores flatter the model: {listed(shared)}.")
    elif groups:
        splits |= split_by_group(train, classes, groups, seed, test="test" not in splits)
    else:
        digests = [checked[file].digest for file in train.files]
        splits |= split_by_content(train, classes, copies[: len(train)], digests, seed, test="test" not in splits)
    remarks.weigh_validation(splits["val"], classes)
    pages = [f"{file.relative_to(folder)} ({checked[file].pages})" for file in files if checked[file].pages > 1]
    if pages:
        note(f"{folder}: {len(pages)} files hold several pages, of which the first is read: {listed(pages)}.")
    value_range = choose_range([checked[file].values for file in files if checked[file].values], folder)
    return Task(folder.resolve().name, classes, splits["train"], splits["val"], splits.get("test"), value_range)


def refuse_no_folder(name: str, known: str) -> None:
    """Raise a HelpersError that says what can be given, where something is neither a task nor a folder."""
    ending = Path(name).suffix.lower() if Path(name).is_file() else ""
    archives = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
    advice = {
        "://" in name: "is an address; download it, unpack it, and give the folder",
        ending in archives: "is an archive; unpack it, and give the folder that comes out",
        ending in (".csv", ".tsv"): f"is a table; give the folder of the photos, and the table with --labels {name}",
    }
    other = f"is neither a task nor a folder; name one of {known}, or a folder that holds one folder per class"
    raise HelpersError(f"{name!r} {advice.get(True, other)}.")


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
    named = listed((f"{file.relative_to(folder)} ({why})" for file, why in problems.items()), "\n  ", "\n  ")
    if len(problems) > max(1, MOST_BROKEN * len(photos)):
        raise HelpersError(
            f"{folder}: {len(problems)} of {len(photos)} photos are unreadable, more than one in ten; "
            f"mend or remove them:{named}"
        )
    if others:
        why = {True: "it is neither a file nor a folder", False: "its content is no image"}
        named += listed((f"{file.relative_to(folder)} ({why[is_pipe(file)]})" for file in others), "\n  ", "\n  ")
    if problems or others:
        warn(f"{folder}: left out, not readable as photos ({len(problems) + len(others)} of {len(files)}):{named}")
    for classes in found.values():
        for name, members in classes.items():
            classes[name] = [file for file in members if file in checked and not checked[file].problem]
    return checked


def _classes(folder: Path, found: dict[str, Photos]) -> tuple[str, ...]:
    """The class names, sorted; the same for all splits."""
    train = found["train"]
    empty = [name for name, members in train.items() if not members]
    if empty:
        raise HelpersError(f"{folder}: no readable training photo of {listed(empty)}; add some, or remove the folder.")
    for part, photos in found.items():
        for name in photos:
            if name not in train:
                like = difflib.get_close_matches(name, train, 1)
                hint = f"is it {like[0]}?" if like else "add photos of it, or remove it."
                raise HelpersError(f"{folder}: {part} holds the class {name!r}, train does not; {hint}")
        if not any(photos.values()):
            raise HelpersError(
                f"{folder}: {part} holds class folders, but no photo; add photos, or remove it"
                + (", so that part of the training photos is kept for validation." if part == "val" else ".")
            )
        missing = [name for name in train if not photos.get(name)]
        if missing:
            warn(f"{folder}: {part} holds no photo of {listed(missing)}; its scores say nothing about that.")
    if len(train) < 2:
        raise HelpersError(f"{folder} holds a single class, {listed(train)}; telling apart takes at least two.")
    return tuple(sorted(train))


def _split(photos: Photos, classes: tuple[str, ...]) -> Split:
    files = [(file, label) for label, name in enumerate(classes) for file in photos.get(name, ())]
    return Split(torch.tensor([label for _, label in files]), files=tuple(file for file, _ in files))
