"""Training against validation: what they share, and which of them changes from pass to pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Subset

from transfer_doctor.case import Case
from transfer_doctor.dataset_fields import indexed
from transfer_doctor.expected_preprocessing import transform_of
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.loader_sample import LoaderSample

ITEMS = 6
MANY = 0.02  # fraction of validation images from which a shared image is an error, not a slip
TWO_DATASETS = (
    "train_dataset = Subset(ImageFolder(root, transform=train_transform), train_indices)\n"
    "val_dataset = Subset(ImageFolder(root, transform=val_transform), val_indices)"
)


@check("warning", needs=("val_loader",), unless=("shared-transform",))
def validation_augmented(case: Case) -> Symptom | None:
    """Validation images change from pass to pass.

    Symptom: validation accuracy is too low and changes from pass to pass.

    By hand: validate twice without training in between.

    Repair: a transform of its own for validation, with nothing random.
    """
    changed, looked = _changing(case.val_loader)
    if not changed:
        return None
    return Symptom(
        "Validation images change from pass to pass: the score carries noise and measures augmented images.",
        f"{changed} of {looked} images differed when asked for twice{_random_steps(case.val_loader)}.",
        "val_transform = v2.Compose([v2.Resize(256), v2.CenterCrop(224), ...])  # nothing random\n"
        "val_dataset = ImageFolder(val_root, transform=val_transform)",
    )


@check("warning", needs=("train_loader", "val_loader"))
def shared_transform(case: Case) -> Symptom | None:
    """Training and validation are two views of one dataset object, so they share its transform.

    Symptom: validation accuracy changes from pass to pass; or augmentation seems to do nothing.

    By hand: `train_set.dataset is val_set.dataset`.

    Repair: two dataset objects, split by the same indices.
    """
    train, val = case.shared_datasets
    if train is None or train is not val:
        return None
    changed, looked = _changing(case.val_loader)
    steps = _random_steps(case.val_loader)
    lost = _overwritten(train) or _ignored_transform(case)
    if lost and not changed:
        return Symptom(
            "Training and validation share one dataset object, and its transform was overwritten: training has lost "
            "its own.",
            f"Both are parts of the same {type(train).__name__} of {len(train)} images; {lost}",
            TWO_DATASETS,
        )
    return Symptom(
        "Training and validation share one dataset object and so one transform"
        + (": validation images are augmented too." if changed else "."),
        f"Both are parts of the same {type(train).__name__} of {len(train)} images; "
        + (
            f"{changed} of {looked} validation images differed when asked for twice{steps}."
            if changed
            else "it has one transform for both, the one that was set last, and that is not random: training is not "
            "augmented, whatever was set before."
        ),
        TWO_DATASETS,
        severity="warning" if changed else "note",
    )


@check("note", needs=("train_loader",), unless=("repeats-without-set-epoch",))
def training_never_changes(case: Case) -> Symptom | None:
    """Training images are the same in every epoch.

    Symptom: training accuracy soon reaches 100 %, validation lags behind.

    By hand: take `dataset[0]` twice, and compare.

    Repair: mirror and crop at random; nothing where features are computed once.
    """
    changed, looked = _changing(case.train_loader)
    if changed or not looked:
        return None
    return Symptom(
        "Training images never change: there is no augmentation.",
        f"All {looked} images looked at were identical in two epochs. With few images, flips and crops usually "
        "help; for features computed once this is as it should be.",
        "train_transform = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), ...])",
    )


@check("error", needs=("train_loader", "val_loader"))
def split_overlap(case: Case) -> Symptom | None:
    """The same images are in training and validation.

    Symptom: validation accuracy is as high as training accuracy; on new photos it is not.

    By hand: compare file names, better the files' hashes.

    Repair: split once, by photo, patient or film, before anything else.
    """
    train, val = case.train_loader, case.val_loader
    shared, total, how = _shared(case, train, val)
    if not shared:
        return None
    return Symptom(
        f"{len(shared)} of {total} validation images are also in training: the score is too good.",
        f"{how}; for example {shared[0]}.",
        "assert not set(train_files) & set(val_files)  # split once, by image (or by patient, by scene)",
        severity="error" if len(shared) > max(1, MANY * total) else "warning",
    )


def _overwritten(dataset: Any) -> str:
    """What a torchvision dataset remembers of the transform that it was made with, where that is another one now."""
    first = getattr(getattr(dataset, "transforms", None), "transform", None)
    now = getattr(dataset, "transform", None)
    if first is None or now is None or first is now:
        return ""
    return f"it was made with {_in_line(first)} and now has {_in_line(now)} in both."


def _ignored_transform(case: Case) -> str:
    """Whether a transform was set on a `Subset`, which never reads it."""
    for loader in case.loaders:
        if isinstance(getattr(loader, "dataset", None), Subset) and "transform" in vars(loader.dataset):
            return "the transform that was set on a Subset does nothing: images come from the dataset inside it."
    return ""


def _in_line(transform: Any) -> str:
    return " ".join(str(transform).split())[:120]


def _changing(sample: LoaderSample) -> tuple[int, int]:
    """How many of a few images differ between two passes, and how many were looked at."""
    try:
        if sample.order(0) is not None:
            chosen = torch.linspace(0, len(sample.dataset) - 1, ITEMS).long().unique().tolist()
            passes = [[sample.item(index + shift) for index in chosen] for shift in sample.epoch_shifts]
            return sum(not _equal(a, b) for a, b in zip(*passes, strict=True)), len(chosen)
        if not sample.batches:
            raise CannotTell(f"the {sample.split} loader gives no batch")
        first = {_digest(image) for image in sample.batches[0][0]}
        second = {_digest(image) for images, _ in sample.again(len(sample.batches)) for image in images}
        return len(first - second), len(first)
    except CannotTell:
        raise
    except Exception as error:  # the check `loader_raises` reports it
        raise CannotTell(f"the {sample.split} images cannot be read twice ({error})") from error


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _random_steps(sample: LoaderSample) -> str:
    names = [type(step).__name__ for step in transform_of(sample.dataset)]
    random = [name for name in names if "Random" in name or "Jitter" in name or "Augment" in name]
    return f" ({', '.join(random)} in its transforms)" if random else ""


def _shared(case: Case, train: LoaderSample, val: LoaderSample) -> tuple[list[Any], int, str]:
    """Images in both splits, of how many, and how that was found."""
    drawn, scored = train.reachable, val.reachable
    if train.files and val.files:
        mine, theirs = [train.files[i] for i in drawn], [val.files[i] for i in scored]
        hashes = _by_content(mine, theirs)
        known = {_key(file, hashes) for file in mine}
        shared = [str(file) for file in theirs if _key(file, hashes) in known]
        return shared, len(theirs), "Compared by the files' contents"
    if case.shared_datasets[0] is not None and case.shared_datasets[0] is case.shared_datasets[1]:
        one, two = ([_indices(x.dataset)[i] for i in of] for x, of in ((train, drawn), (val, scored)))
        return sorted(set(one) & set(two)), len(two), "Both splits hold the same indices of one dataset"
    mine, theirs = _digests(train.dataset), _digests(val.dataset)
    if mine is None or theirs is None:
        mine, theirs = ([_digest(image) for image in _images(sample)] for sample in (train, val))
    else:
        mine, theirs = [mine[i] for i in drawn], [theirs[i] for i in scored]
    known = set(mine)
    shared = [f"validation image {index}" for index, digest in enumerate(theirs) if digest in known]
    return shared, len(theirs), f"Compared {len(mine)} training images with {len(theirs)}, pixel by pixel"


def _by_content(train: list[Path], val: list[Path]) -> dict[Path, bytes]:
    """Hashes of the files whose size occurs in both splits."""
    sizes = {file: file.stat().st_size for file in {*train, *val} if file.is_file()}
    both = {sizes.get(file) for file in train} & {sizes.get(file) for file in val} - {None}
    return {f: hashlib.sha256(f.read_bytes()).digest() for f, size in sizes.items() if size in both}


def _key(file: Path, hashes: dict[Path, bytes]) -> Any:
    return hashes.get(file, file.resolve())


def _indices(dataset: Any) -> list[int]:
    if not isinstance(dataset, Subset):
        return list(range(len(dataset)))
    inner = _indices(dataset.dataset)
    return [inner[i] for i in dataset.indices]


def _digests(dataset: Any) -> list[bytes] | None:
    """Hashes of the images that a dataset holds in memory, before any transform, or None."""
    if isinstance(dataset, Subset):
        inner = _digests(dataset.dataset)
        return None if inner is None else [inner[i] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [_digests(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [digest for part in parts for digest in part]
    for holder in (dataset, getattr(dataset, "images", None)) if indexed(dataset) else ():
        for name in ("data", "images", "tensors"):
            stored = getattr(holder, name, None)
            stored = stored[0] if isinstance(stored, tuple) and stored else stored
            if hasattr(stored, "shape") and len(stored) == len(dataset) and len(stored.shape) >= 3:
                return [_digest(torch.as_tensor(image)) for image in stored]
    return None


def _images(sample: LoaderSample) -> Iterable[torch.Tensor]:
    return (image for images, _ in sample.batches for image in images)


def _digest(image: torch.Tensor) -> bytes:
    return hashlib.sha256(image.detach().cpu().contiguous().numpy().tobytes()).digest()
