"""Which images are trained on and validated on, and whether the labels are theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_doctor.findings import CannotTell, Symptom
from transfer_doctor.watching.checks import check

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch


@check("error")
def trained_on_validation(seen: Watch) -> Symptom | None:
    """The model is trained on validation or test images.

    Symptom: validation accuracy is as high as training accuracy, or higher; on new photos it is not.

    By hand: print which loader each loop iterates, and whether `loss.backward()` runs in the validation phase.

    Repair: iterate the training loader in the training loop; no backward and no step in the validation.
    """
    seen.stepped()
    wrong = seen.gradients.from_validation
    if not wrong.times:
        return None
    return Symptom(
        "The model is trained on validation images, so validation results are worth nothing.",
        f"{wrong.times} of {seen.gradients.steps} optimizer steps used gradients of validation images, first at "
        f"{wrong.first}.",
        'for phase in ("train", "val"):\n    for images, labels in loaders[phase]:\n'
        '        with torch.set_grad_enabled(phase == "train"):\n            loss = criterion(model(images), labels)\n'
        '        if phase == "train":\n            loss.backward()\n            optimizer.step()',
    )


@check("warning")
def validated_on_training(seen: Watch) -> Symptom | None:
    """What is called validation reads the training images.

    Symptom: validation is as good as training all along and keeps rising; on new photos the model is far worse.

    By hand: `val_loader.dataset is train_loader.dataset`, and print which loader the validation iterates.

    Repair: iterate the validation loader.
    """
    if seen.same_images:
        return Symptom(
            "The loaders for training and validation read the same images.",
            "The loader that was passed for validation, or its data set, is the one for training: validation tests "
            "what was learned by heart.",
            "val_loader = DataLoader(val_set, batch_size=64)",
        )
    if "val" not in seen.loaders.shown:
        raise CannotTell("no validation loader was passed")
    checked = [
        c
        for c in seen.record.of_role("train")
        if not c.reached and not c.has_graph and not c.batch.source.epoch and c.batch.source.after_epoch
    ]
    if not seen.record.epochs:
        raise CannotTell("the model was not trained inside the block")
    if not checked or any(p.role == "val" for p in seen.record.passes) or "val" in seen.loaders.not_seen:
        return None
    return Symptom(
        "Validation reads the training images.",
        f"After training the model was called on {len(checked)} batches of the training loader, first at {checked[0]}; "
        "the validation loader was never iterated.",
        "validate(model, val_loader)",
    )


@check("error")
def labels_shuffled(seen: Watch) -> Symptom | None:
    """The labels that reach the loss are not those of the images that reached the model.

    Symptom: the training loss stays at that of guessing, log(number of classes), whatever the rate.

    By hand: show some images of a batch with the labels that the loss gets, in the loop and not from the data set.

    Repair: index images and labels with the same permutation; take both from the same batch of the same iterator.
    """
    wrong, compared = seen.functions.shuffled(), seen.functions.compared
    if not compared:
        raise CannotTell("no loss was seen whose labels could be held against those of the loader")
    if not wrong:
        return None
    batch, instead = wrong[0]
    return Symptom(
        "Images are compared with labels that are not theirs.",
        f"The loss got {instead} at {batch}, and so in {len(wrong)} of {compared} batches that could be compared.",
        "order = torch.randperm(len(images))\nimages, labels = images[order], labels[order]  # both, or neither",
    )


@check("warning")
def test_data_every_epoch(seen: Watch) -> Symptom | None:
    """Test images are looked at after every epoch.

    Symptom: the reported test accuracy is that of the best epoch, and higher than on images never looked at.

    By hand: look for the test loader inside the loop over epochs.

    Repair: choose by the validation images; look at the test images once, when everything is decided.
    """
    passes = [p for p in seen.record.passes if p.role == "test" and p.sizes]
    if not seen.record.epochs:
        raise CannotTell("the model was not trained inside the block")
    after = sorted({p.after_epoch for p in passes if p.after_epoch})
    if len(after) < 2:
        return None
    return Symptom(
        "The test images are looked at after every epoch, so the test accuracy is no longer that of unseen images.",
        f"The test loader was iterated {len(passes)} times, after epochs {', '.join(map(str, after[:8]))}.",
        "for epoch in range(epochs):\n    train_one_epoch(...)\n    validate(model, val_loader)\n"
        "test(model, test_loader)  # once, at the end",
        severity=None if "val" in seen.loaders.shown else "note",
    )
