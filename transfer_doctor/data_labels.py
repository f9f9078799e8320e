"""The labels: their range, their meaning, their balance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import torch

from transfer_doctor.batches import unpack
from transfer_doctor.case import Case
from transfer_doctor.expectations import expected_classes
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.loader_sample import LoaderSample

FOLDERS = 12  # of whose images one is read, where the labels are stored nowhere
STRONG = 10  # times as many images in the largest class as in the smallest


@check("error", needs=("loader",), unless=("labels-from-one",))
def labels_out_of_range(case: Case) -> Symptom | None:
    """A label names a class that the model has no output for.

    Symptom: an error about a target out of bounds; on a GPU a device-side assert.

    By hand: `print(labels.min(), labels.max())` over the whole dataset.

    Repair: as many outputs as classes, and labels from 0 to classes - 1.
    """
    outputs, source = _outputs(case)
    for sample in case.samples:
        labels = sample.labels
        if labels is None or len(labels) == 0:
            continue
        low, high = int(labels.min()), int(labels.max())
        if outputs > 1 and (low < 0 or high >= outputs):
            wrong = labels[(labels < 0) | (labels >= outputs)]
            return Symptom(
                f"{sample.split.capitalize()} labels run from {low} to {high}; {source} allows 0 to {outputs - 1}.",
                f"{len(wrong)} of {len(labels)} labels do not fit; the first is {int(wrong[0])}. On a GPU this ends in "
                "a device-side assert that names nothing.",
                "classes = sorted(set(labels))\nlabels = [classes.index(label) for label in labels]",
            )
    return None


@check("error", needs=("loader",))
def labels_from_one(case: Case) -> Symptom | None:
    """Labels start at 1 instead of 0.

    Symptom: an error about a target out of bounds, or one output that is never predicted.

    By hand: `print(labels.min())` is 1.

    Repair: subtract 1.
    """
    for sample in case.samples:
        labels = sample.labels
        if labels is None or not sample.whole or len(labels) == 0 or int(labels.min()) != 1:
            continue
        high = int(labels.max())
        names = len(case.class_names) if case.class_names else None
        try:
            outputs = case.outputs.shape[-1] if case.model is not None else None
        except CannotTell:
            outputs = None
        known = len(labels.unique()) == high > 1
        if high in (names, outputs) or (known and outputs == high + 1 and (names or high) == high):
            outside = high == outputs
            return Symptom(
                f"{sample.split.capitalize()} labels run from 1 to {high}; PyTorch counts classes from 0.",
                f"No label is 0 among {len(labels)}, {int((labels == high).sum())} are {high}; "
                + (f"the model has {outputs} outputs" if outputs else f"there are {names} class names")
                + ("." if outside else ", so one output never gets an image."),
                "target_transform = lambda label: label - 1",
                severity="error" if outside or high == names else "warning",
            )
    return None


@check(
    "warning",
    needs=("train_loader",),
    unless=("labels-from-one", "labels-out-of-range", "classes-merged", "head-wrong-size"),
)
def classes_missing(case: Case) -> Symptom | None:
    """A class has no training image.

    Symptom: these classes are never predicted; validation accuracy has a ceiling.

    By hand: `torch.bincount(labels)` over all batches of one epoch.

    Repair: fill the folder, or split at random and by class.
    """
    sample = case.train_loader
    labels = _whole_labels(sample)
    classes, source = expected_classes(case)
    if case.classes is None and not case.class_names and case.model is not None:
        classes, source = _outputs(case)
    absent = sorted(set(range(classes)) - set(labels.unique().tolist()))
    if not absent:
        return None
    names = case.class_names or []
    named = ", ".join(f"{i} ({names[i]})" if i < len(names) else str(i) for i in absent[:6])
    undrawn = 0
    if sample.stored_labels is not None:
        undrawn = int(torch.isin(sample.stored_labels, torch.tensor(absent)).sum())
    elsewhere = f" The dataset has {undrawn} images of them, and the sampler never draws one." if undrawn else ""
    if not undrawn and case.val_loader is not None and case.val_loader.labels is not None:
        there = int(torch.isin(case.val_loader.labels, torch.tensor(absent)).sum())
        elsewhere = f" The validation split has {there} images of them." if there else ""
    return Symptom(
        f"{len(absent)} of {classes} classes have no training image: {named}.",
        f"{len(labels)} training labels hold {len(labels.unique())} different classes; {source}.{elsewhere}",
        "from collections import Counter\nprint(Counter(train_dataset.targets))  # then look at folders and split",
    )


@check("warning", needs=("train_loader",), unless=("labels-from-one",))
def classes_merged(case: Case) -> Symptom | None:
    """Images from different class folders carry the same label.

    Symptom: two classes are confused with each other throughout.

    By hand: print file name and label of a few images of each folder.

    Repair: `dataset.class_to_idx` gives the numbers.
    """
    for sample in case.samples:
        if not sample.files or sample.stored_labels is None:
            continue  # labels read batch by batch come in another order than the files
        folders = defaultdict(Counter)
        for file, label in zip(sample.files, sample.stored_labels.tolist(), strict=True):
            folders[label][file.parent.name] += 1
        several = {label: counts for label, counts in folders.items() if len(counts) > 1}
        classes = expected_classes(case)[0]
        distinct = len({name for counts in folders.values() for name in counts})
        if several and distinct == classes:
            label, counts = next(iter(several.items()))
            return Symptom(
                f"Label {label} stands for {len(counts)} class folders in the {sample.split} split.",
                f"Its images come from {', '.join(f'{name} ({n})' for name, n in counts.most_common(4))}, while the "
                f"task has {classes} classes.",
                "class_to_idx = {name: index for index, name in enumerate(sorted(folders))}",
            )
    return None


@check("error", needs=("train_loader", "val_loader"))
def class_order_differs(case: Case) -> Symptom | None:
    """Training and validation number their classes differently.

    Symptom: training accuracy is high and validation near or below that of guessing.

    By hand: `train_set.class_to_idx == val_set.class_to_idx`.

    Repair: one mapping for both, made from the training folders.
    """
    train, val = _numbering(case.train_loader), _numbering(case.val_loader)
    if not train or not val:
        raise CannotTell("a dataset tells neither class names nor class folders")
    differ = sorted((name for name in train.keys() & val.keys() if train[name] != val[name]), key=str)
    if not differ:
        return None
    name = differ[0]
    only = sorted(train.keys() ^ val.keys())
    lone = f" Only one split has {', '.join(only[:4])}." if only else ""
    return Symptom(
        f"Class {name!r} is number {train[name]} in training and {val[name]} in validation.",
        f"{len(differ)} of {len(train.keys() & val.keys())} shared classes have different numbers.{lone} A perfect "
        "model would be scored as wrong on them.",
        "val_dataset.class_to_idx = train_dataset.class_to_idx  # one mapping, made once, for both splits\n"
        "val_dataset.samples = [(path, train_dataset.class_to_idx[Path(path).parent.name]) for path, _ in "
        "val_dataset.samples]",
    )


@check("warning", needs=("loader",))
def class_names_in_another_order(case: Case) -> Symptom | None:
    """The class names that were given are in another order than the dataset's.

    Symptom: validation accuracy is high, and in use predictions carry wrong names.

    By hand: show some validation images with the names of their labels.

    Repair: take the names from `dataset.classes`.
    """
    if case.classes is None:
        raise CannotTell("no class names were given")
    names = case.sample.class_names
    given = [str(name) for name in case.classes]
    if names and len(names) == len(given) and (numbers := _sorted_as_text(names)):
        return _numbered_folders(names, given, numbers)
    if not names or sorted(names) != sorted(given) or names == given:
        return None
    first = next(i for i, (a, b) in enumerate(zip(given, names, strict=True)) if a != b)
    return Symptom(
        f"Class {first} is called {given[first]!r} in the names given, and {names[first]!r} in the dataset.",
        f"The same {len(names)} names, in another order: predictions would be shown under wrong names.",
        "classes = train_dataset.classes",
    )


def _sorted_as_text(names: list[str]) -> list[int]:
    """The numbers of class folders "1", "10", "11", "2" ..., or nothing where they are no numbers or in order."""
    if not all(name.strip().isdigit() for name in names):
        return []
    numbers = [int(name) for name in names]
    return numbers if numbers != sorted(numbers) else []


def _numbered_folders(names: list[str], given: list[str], numbers: list[int]) -> Symptom | None:
    """Names that are given by number, while the dataset sorts its folders as text."""
    told = [re.findall(r"\d+", name) for name in given]
    own = [int(digits[-1]) if digits else None for digits in told]
    if own == numbers or given == names:
        return None
    first = next(i for i, (a, b) in enumerate(zip(numbers, sorted(numbers), strict=True)) if a != b)
    certain = own == sorted(numbers) or own == [n - numbers[0] for n in sorted(numbers)]
    return Symptom(
        f"Class {first} is folder {names[first]!r}, and the names given call it {given[first]!r}"
        + ("." if certain else "; are they in that order?"),
        f"{len(names)} folders are numbers sorted as text: {', '.join(names[:5])} ... In the order of the numbers, "
        f"{first} would be folder {sorted(numbers)[first]}.",
        "classes = [name_of[folder] for folder in train_dataset.classes]  # by folder, not by position",
        severity="warning" if certain else "note",
    )


@check("warning", needs=("train_loader",), unless=("class-weights-backwards", "images-never-drawn"))
def class_imbalance(case: Case) -> Symptom | None:
    """Some classes have many times as many training images as others.

    Symptom: accuracy is high and rare classes are never predicted.

    By hand: `torch.bincount(labels)`, and the accuracy of each class.

    Repair: weight the loss or the sampling by one over the count.
    """
    sample = case.train_loader
    labels = torch.cat(sample.epoch_labels) if sample.epoch_labels else torch.empty(0)
    if getattr(case.criterion, "weight", None) is not None or len(labels) < 20:
        return None
    numbers, counts = labels.unique(return_counts=True)
    if len(numbers) < 2 or (not sample.whole and int(counts.min()) < 5):
        return None
    ratio = float(counts.max() / counts.min())
    if ratio < STRONG:
        return None
    large, small = int(numbers[counts.argmax()]), int(numbers[counts.argmin()])
    names = case.class_names or []
    called = [names[i] if i < len(names) else f"class {i}" for i in (large, small)]
    return Symptom(
        f"{called[0]} has {ratio:.0f} times as many training images as {called[1]}.",
        f"{int(counts.max())} against {int(counts.min())} of {len(labels)} images in an epoch; always answering "
        f"{called[0]!r} would be right for {counts.max() / len(labels):.0%}.",
        "weight = 1 / torch.bincount(labels).float()\n"
        "criterion = nn.CrossEntropyLoss(weight=weight / weight.mean())  # and look at each class's accuracy",
    )


def _outputs(case: Case) -> tuple[int, str]:
    if case.model is not None:
        return case.outputs.shape[-1], f"a head with {case.outputs.shape[-1]} outputs"
    return expected_classes(case)


def _whole_labels(sample: LoaderSample) -> torch.Tensor:
    if sample.labels is None or not sample.whole:
        raise CannotTell(f"the labels of the whole {sample.split} split are unknown without reading every image")
    return sample.labels


def _numbering(sample: LoaderSample) -> dict[str, int]:
    """Class name -> number, as labels and folders have it, else as the dataset says."""
    if sample.files:
        votes: dict[str, Counter] = defaultdict(Counter)
        for file, label in zip(sample.files, _labels_of_files(sample), strict=True):
            if label is not None:
                votes[file.parent.name][label] += 1
        if len(votes) > 1 and all(len(counts) == 1 for counts in votes.values()):
            return {name: counts.most_common(1)[0][0] for name, counts in votes.items()}
    return {name: index for index, name in enumerate(sample.class_names or [])}


def _labels_of_files(sample: LoaderSample) -> list[int | None]:
    """The label of each file; of one file in each folder, where only reading images tells."""
    if sample.stored_labels is not None:
        return sample.stored_labels.tolist()
    labels: list[int | None] = [None] * len(sample.files)
    first = {file.parent: index for index, file in reversed(list(enumerate(sample.files)))}
    for index in list(first.values())[:FOLDERS]:
        try:
            label = unpack(sample.dataset[index])[1]
        except Exception:  # a broken image is reported by the check that reads batches
            continue
        labels[index] = int(label) if label.numel() == 1 else None
    return labels
