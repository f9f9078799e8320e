"""The order of training: shuffled, sorted, and how it ends."""

from __future__ import annotations

import torch

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.loader_sample import LoaderSample

SORTED = 0.9  # fraction of neighbors with the same label from which an epoch counts as sorted
SHUFFLE = "train_loader = DataLoader(train_dataset, batch_size={size}, shuffle=True)"


@check("note", needs=("train_loader",))
def repeats_without_set_epoch(case: Case) -> Symptom | None:
    """The training loader repeats its order in every epoch, unless `set_epoch` is called.

    Symptom: none, or overfitting a little sooner.

    By hand: print the first labels of two epochs.

    Repair: `sampler.set_epoch(epoch)` before each pass.
    """
    sample = case.train_loader
    if len(sample.batch_sizes) < 2 or not sample.repeats or not sample.reshuffled_by_set_epoch:
        return None
    keeper = next((f".{name}" for name in ("sampler", "batch_sampler", "dataset") if _counts(sample, name)), "")
    return Symptom(
        "The training loader repeats its order in every epoch unless it is told the epoch.",
        f"Two passes in a row gave the same {len(sample.batch_sizes)} batches; after `set_epoch(1)` they were others.",
        f"for epoch in range(epochs):\n    train_loader{keeper}.set_epoch(epoch)  # before each pass",
    )


def _counts(sample: LoaderSample, name: str) -> bool:
    return hasattr(getattr(sample.loader, name, None), "set_epoch")


@check("warning", needs=("train_loader",), unless=("sorted-batches", "repeats-without-set-epoch"))
def not_shuffled(case: Case) -> Symptom | None:
    """Training images come in the same order in every epoch.

    Symptom: overfitting a little sooner; the loss has the same bumps in every epoch.

    By hand: print the first labels of two epochs.

    Repair: `shuffle=True` for the training loader.
    """
    sample = case.train_loader
    if len(sample.batch_sizes) < 2 or not sample.repeats:
        return None
    first, size = sample.order(0), sample.batch_sizes[0]
    return Symptom(
        "The training loader gives the same batches in the same order in every epoch.",
        f"Two epochs of {len(first or sample.batches)} batches were identical"
        + (f" (first images {first[0][:5]})." if first else ", image by image."),
        SHUFFLE.format(size=size),
    )


@check("error", needs=("train_loader",))
def sorted_batches(case: Case) -> Symptom | None:
    """Training images come class by class.

    Symptom: the loss falls to zero and jumps again and again within an epoch; afterward one class is predicted.

    By hand: print the labels of one batch: all are the same.

    Repair: `shuffle=True` for the training loader.
    """
    sample = case.train_loader
    batches = sample.epoch_labels
    if len(batches) < 2 or (not sample.whole and sample.order(0) is None and len(batches) < 4):
        return None
    labels = torch.cat(batches)
    classes = len(labels.unique())
    if classes < 2:
        return None
    same = float((labels[1:] == labels[:-1]).float().mean())
    expected = float((torch.bincount(labels.clamp_min(0)).float() / len(labels)).square().sum())
    pure = sum(len(batch.unique()) <= max(1, classes // 4) for batch in batches) / len(batches)
    if same < SORTED or expected > 0.8 or pure < 0.5:
        return None
    ones = sum(len(batch.unique()) == 1 for batch in batches)
    return Symptom(
        "Training images come sorted by class, so each batch teaches one answer and the next forgets it.",
        f"{ones} of {len(batches)} batches hold a single class, and {same:.0%} of neighbors have the same label (by "
        f"chance: {expected:.0%}).",
        SHUFFLE.format(size=sample.batch_sizes[0]),
    )


@check("warning", needs=("model", "train_loader"), unless=("module-raises",))
def last_batch_of_one(case: Case) -> Symptom | None:
    """The last batch holds one image, of which BatchNorm cannot take statistics.

    Symptom: an error at the end of the first epoch, `Expected more than 1 value per channel`.

    By hand: `len(dataset) % batch_size` is 1.

    Repair: `drop_last=True` for the training loader.
    """
    sizes = case.train_loader.batch_sizes
    whole = case.train_loader.order(0) is not None or case.train_loader.first_pass[2]
    model_copy = case.in_training()
    norms = [layer for layer in case.layers if layer.is_batch_norm and model_copy.get_submodule(layer.name).training]
    if not whole or len(sizes) < 2 or sizes[-1] != 1 or not norms:
        return None
    if case.forward_trace.error is not None:
        raise CannotTell("the model raises on a batch of any size")
    try:
        with torch.no_grad():
            case.run(model_copy, case.batch[0][:1])
        effect, severity = "it gives noisy statistics", None
    except ValueError as error:
        effect, severity = f"the model raises: {error}", "error"
    return Symptom(
        f"The last training batch holds a single image, and {len(norms)} BatchNorm layers take statistics of it.",
        f"{sum(sizes)} images in batches of {sizes[0]} leave 1 over; on a copy, {effect}.",
        f"train_loader = DataLoader(train_dataset, batch_size={sizes[0]}, shuffle=True, drop_last=True)",
        severity=severity,
    )
