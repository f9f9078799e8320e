"""Numbers that come out wrong: averages over batches, and the wrong axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_doctor.findings import CannotTell, Symptom
from transfer_doctor.watching.checks import check

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch


@check("warning")
def accuracy_of_batches(seen: Watch) -> Symptom | None:
    """The accuracy is averaged over batches of unequal size.

    Symptom: the accuracy differs a little from that of the confusion matrix, and with the batch size.

    By hand: compare with `correct / len(val_loader.dataset)`.

    Repair: count the images classified correctly, and divide once, by the number of images.
    """
    passes = [p for p in seen.record.passes if p.role in ("val", "test") and p.sizes]
    if not passes:
        raise CannotTell("no validation loader was iterated inside the block")
    if all(call.correct is None for call in seen.record.of_role("val", "test")):
        raise CannotTell("no outputs were seen together with the labels of a validation batch")
    for source in passes:
        if (wrong := source.wrong_average) is not None:
            return Symptom(
                "The accuracy is averaged over batches of unequal size: images of the small batch count for more.",
                f"At {source.place(len(source.sizes))} `{wrong.name}` holds the batches' accuracies, whose average is "
                f"{wrong.averaged:.2%}; of all images {wrong.accuracy:.2%} are classified correctly. Batches hold "
                f"{wrong.sizes[0]} images, the last {wrong.sizes[1]}.",
                "correct += (outputs.argmax(1) == labels).sum().item()\n"
                "...\naccuracy = correct / len(val_loader.dataset)",
            )
    return None


@check("error")
def softmax_wrong_axis(seen: Watch) -> Symptom | None:
    """Softmax or argmax runs over the images of a batch instead of the classes.

    Symptom: an accuracy near that of guessing though the loss falls, and results that change with the batch size; or
    an error about shapes in the last, smaller batch.

    By hand: `probabilities.sum(1)` is to be 1 for each image.

    Repair: `dim=1`, or `dim=-1`.
    """
    if not seen.record.calls:
        raise CannotTell("the model was not called inside the block")
    for name, wrong in seen.functions.wrong_axis.items():
        call = seen.record.calls[0] if not hasattr(wrong.first, "shape") else wrong.first
        return Symptom(
            f"`{name}` runs over the images of the batch, not over the classes.",
            f"It was called {wrong.times} times with dim=0 on outputs of shape {tuple(call.shape)}, first at "
            f"{wrong.first}: {call.shape[0]} images, {call.shape[1]} classes.",
            "probabilities = outputs.softmax(dim=1)\npredictions = outputs.argmax(dim=1)",
        )
    return None
