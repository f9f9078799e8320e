"""Which images are drawn and how much each counts: samplers, dropped batches, class weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell, Symptom, check

UNEVEN = 1.5  # times as many images in the largest class: below this, weights hardly matter
ALIKE = 0.9  # correlation of the logarithms of weights and counts


@check("error", needs=("train_loader",))
def images_never_drawn(case: Case) -> Symptom | None:
    """The sampler has fewer weights than there are images, so most images are never drawn.

    Symptom: most images are never seen; training accuracy is high, validation low.

    By hand: `len(sampler.weights) == len(dataset)`.

    Repair: `weights = class_weights[labels]`, one for each image.
    """
    sample = case.train_loader
    weights = getattr(sample.sampler, "weights", None)
    if weights is None or not hasattr(sample.dataset, "__len__"):
        return None
    images = len(sample.dataset)
    if len(weights) >= images:
        return None
    return Symptom(
        f"The sampler has {len(weights)} weights for {images} images: only the first {len(weights)} are ever drawn.",
        f"{type(sample.sampler).__name__} takes one weight for each image; {len(weights)} looks like one for each "
        f"class. {images - len(weights)} images are never seen.",
        "weights = class_weights[torch.as_tensor(train_dataset.targets)]  # one for each image\n"
        "sampler = WeightedRandomSampler(weights, len(weights))",
    )


@check("warning", needs=("val_loader",))
def validation_incomplete(case: Case) -> Symptom | None:
    """The validation loader drops the last batch, so some images are never scored.

    Symptom: the score is of fewer images than there are, and may change from run to run.

    By hand: count the images in the validation loop, and compare with `len(dataset)`.

    Repair: `drop_last=False` for validation.
    """
    sample = case.val_loader
    if not getattr(sample.loader, "drop_last", False) or sample.order(0) is None:
        return None
    total, scored = len(sample.reachable), sum(map(len, sample.order(0)))
    if scored >= total:
        return None
    return Symptom(
        f"{total - scored} of {total} validation images are never scored: the loader drops its last batch.",
        f"drop_last=True with batches of {sample.loader.batch_size}. Shuffled, other images are left out each time; in "
        "order, it is always the last ones, often of one class.",
        f"val_loader = DataLoader(val_dataset, batch_size={sample.loader.batch_size}, drop_last=False)",
    )


@check("warning", needs=("train_loader",), unless=("images-never-drawn",))
def class_weights_backwards(case: Case) -> Symptom | None:
    """Frequent classes get more weight than rare ones, in the loss or in the sampling.

    Symptom: rare classes are never predicted, more so than without weights.

    By hand: print counts and weights side by side.

    Repair: `weights = 1 / counts`.
    """
    sample = case.train_loader
    weights = _class_weights(case.criterion)
    stored = sample.labels if sample.stored_labels is None else sample.stored_labels
    if stored is None or len(stored) == 0 or int(stored.min()) < 0:
        raise CannotTell("the labels of the whole training split are unknown without reading every image")
    counts = torch.bincount(stored).double()
    if int(counts.min()) == 0 or counts.max() < UNEVEN * counts.min():
        return None
    if weights is not None and len(weights) == len(counts) and _grow_together(weights.double().cpu(), counts):
        where = "criterion.weight"
    elif getattr(sample.sampler, "weights", None) is not None and len(sample.sampler.weights) == len(stored):
        weights = torch.as_tensor(sample.sampler.weights).double()
        weights = torch.zeros(len(counts), dtype=torch.double).index_add_(0, stored, weights) / counts
        where = "the sampler"
        if not _grow_together(weights, counts):
            return None
    else:
        return None
    most, least = int(counts.argmax()), int(counts.argmin())
    return Symptom(
        f"Frequent classes get more weight than rare ones by {where}: the imbalance is made worse.",
        f"Class {most} has {int(counts[most])} images and weight {weights[most]:.3g}, class {least} has "
        f"{int(counts[least])} and {weights[least]:.3g}; it should be the other way round.",
        "weight = 1 / torch.bincount(labels).float()  # rare classes count more\n"
        "criterion = nn.CrossEntropyLoss(weight=weight / weight.mean())",
    )


def _class_weights(criterion: Any) -> torch.Tensor | None:
    if isinstance(criterion, partial):
        return criterion.keywords.get("weight")
    weight = getattr(criterion, "weight", None)
    return weight if isinstance(weight, torch.Tensor) and weight.ndim == 1 else None


def _grow_together(weights: torch.Tensor, counts: torch.Tensor) -> bool:
    if float(weights.min()) <= 0 or weights.max() < 1.2 * weights.min():
        return False
    return float(torch.corrcoef(torch.stack([weights.log(), counts.log()]))[0, 1]) > ALIKE
