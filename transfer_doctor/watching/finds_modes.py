"""Train and eval mode, and graphs that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_doctor.findings import Symptom
from transfer_doctor.watching.checks import check, counted
from transfer_doctor.watching.record import Call

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

HELD = 3  # graphs at the end of a pass: the last batch's own are always there


@check("warning")
def trained_in_eval_mode(seen: Watch) -> Symptom | None:
    """The model is in eval mode while it is trained.

    Symptom: the first epoch is as expected; later ones overfit sooner, or the loss jumps, as dropout is off and
    BatchNorm keeps the statistics of the first epoch.

    By hand: print `model.training` in the first batch of each epoch.

    Repair: `model.train()` as the first line of each training epoch, not once before the loop.
    """
    trained = seen.trained()
    wrong = [call for call in trained if not call.training]
    before = [call for call in trained if call.training and wrong and call.number < wrong[0].number]
    held = [call for call in wrong if call.held_norms]
    drops = bool(seen.calls.dropouts)
    if not wrong or not (held or drops or (before and seen.calls.norms)):
        return None
    first = (held or wrong)[0]
    affected = [f"{counted(first.held_norms, 'trainable BatchNorm layer')} used the old statistics"] * bool(held)
    affected += [f"{counted(len(seen.calls.dropouts), 'dropout layer')} dropped nothing"] * drops
    since = f"in train mode until {before[-1]}, in eval mode from {wrong[0]} on" if before else f"first at {first}"
    return Symptom(
        "The model is in eval mode while it is trained.",
        f"model.training was False in {len(wrong)} of {len(trained)} training batches, {since}: "
        f"{' and '.join(affected) or 'BatchNorm used the old statistics'}.",
        "for epoch in range(epochs):\n    model.train()  # validation has switched it to eval mode\n    ...",
        severity=None if held or before else "note",
    )


@check("warning")
def validated_in_train_mode(seen: Watch) -> Symptom | None:
    """The model is in train mode while it is validated.

    Symptom: validation accuracy is lower than it should be and changes from run to run; it depends on the batch size;
    and the validation images end up in BatchNorm's running statistics.

    By hand: print `model.training` in the validation loop; compare a BatchNorm layer's `running_mean` before and after.

    Repair: `model.eval()` as the first line of the validation, and `model.train()` of the next epoch.
    """
    validated = seen.validated()
    wrong = [call for call in validated if call.batch_norms or (call.training and call.dropouts)]
    if not wrong:
        return None
    norms, drops = wrong[0].batch_norms, wrong[0].dropouts
    effects = [f"{counted(norms, 'BatchNorm layer')} used the batch's statistics and updated the running ones"] * bool(
        norms
    )
    effects += [f"{counted(drops, 'dropout layer')} dropped features"] * bool(drops)
    return Symptom(
        "The model is in train mode while it is validated: its predictions depend on the batch, or on chance."
        if wrong[0].training
        else "BatchNorm layers are in train mode while the model is validated, though model.eval() was called.",
        f"In {len(wrong)} of {len(validated)} validation batches, first at {wrong[0]}: {' and '.join(effects)}.",
        "model.eval()\nwith torch.inference_mode():\n    for images, labels in val_loader:\n        ...",
        severity="error" if norms else None,
    )


@check("warning")
def validated_with_gradients(seen: Watch) -> Symptom | None:
    """Validation keeps a graph for a backward pass that never comes.

    Symptom: validation needs as much memory as training, and is slower than it need be; on a GPU it is where memory
    runs out.

    By hand: print `outputs.requires_grad` in the validation loop.

    Repair: `with torch.inference_mode():` or `@torch.no_grad()` around the validation.
    """
    validated = seen.validated()
    wrong = [call for call in validated if call.has_graph]
    if not wrong:
        return None
    held = max((p.graphs for p in seen.record.passes if p.role in ("val", "test")), default=(0, 0))
    memory = f" At the end of a pass {held[0]} of {held[1]} graphs were still held." if held[0] >= HELD else ""
    return Symptom(
        "Validation runs without `no_grad`: it keeps every activation for a backward pass that never comes.",
        f"The outputs carried a graph in {len(wrong)} of {len(validated)} validation batches, first at {wrong[0]}."
        f"{memory}",
        "model.eval()\nwith torch.inference_mode():\n    for images, labels in val_loader:\n        ...",
    )


@check("warning")
def graphs_kept(seen: Watch) -> Symptom | None:
    """A loss or an output is kept with its graph from batch to batch.

    Symptom: memory grows with every batch, and the run dies of it in the middle of an epoch.

    By hand: print `running_loss`: if it ends in `grad_fn=...`, it holds the graphs of all batches so far.

    Repair: add up `loss.item()`, or `loss.detach()`, and append `outputs.detach()`.
    """
    calls: list[Call] = seen.trained()
    for source in seen.record.passes:
        held, of = source.graphs
        if source.epoch and held >= HELD and held >= 0.6 * of:
            last = next(c for c in reversed(calls) if c.batch is not None and c.batch.source is source)
            return Symptom(
                "Losses or outputs are kept together with their graphs, so memory grows with every batch.",
                f"At {last}, {held} of the epoch's {of} graphs were still held, though backward was done with them.",
                "running_loss += loss.item()  # or loss.detach(); a list likewise: losses.append(loss.item())",
            )
    return None
