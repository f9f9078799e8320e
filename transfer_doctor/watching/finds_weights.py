"""Weights that moved or stayed against the plan: frozen ones, copies, references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from transfer_doctor.findings import CannotTell, Symptom
from transfer_doctor.watching.checks import check, counted

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

SHIFT, FACTOR = 0.25, 1.5  # drift of BatchNorm statistics that costs accuracy: standard deviations, change of variance


@check("warning", unless=("validated-in-train-mode",))
def frozen_batchnorm_drifted(seen: Watch) -> Symptom | None:
    """Frozen BatchNorm layers changed all the same: their running statistics followed the training images.

    Symptom: features of the frozen part are not those of the pretrained network; results change with the batch size.

    By hand: compare `running_mean` of a frozen BatchNorm layer before and after an epoch.

    Repair: set frozen BatchNorm layers to eval mode after each `model.train()`.
    """
    seen.trained()
    moved = seen.weights.drifted()
    if not moved:
        return None
    name, (shift, factor) = max(moved.items(), key=lambda item: item[1][0])
    calls = [c for c in seen.trained() if c.batch_norms]
    return Symptom(
        f"{counted(len(moved), 'frozen BatchNorm layer')} drifted: running statistics followed the training images.",
        f"Over {len(calls)} training batches the running mean of `{name}` moved by {shift:.2f} standard deviations, "
        f"and its variance by a factor of {factor:.2f}.",
        "model.train()\nfor module in model.modules():\n"
        "    if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:\n        module.eval()",
        severity=None if max(s for s, _ in moved.values()) > SHIFT or factor > FACTOR else "note",
    )


@check("warning")
def frozen_weights_moved(seen: Watch) -> Iterator[Symptom]:
    """Weights moved although they are frozen.

    Symptom: the frozen part is not what it was; a head trained on its features no longer fits it.

    By hand: keep `before = model.conv1.weight.clone()`, and compare after an epoch.

    Repair: set the frozen parameters' `grad` to `None`, or make a new optimizer without them: momentum and weight decay
    move a parameter for as long as it has a gradient, even one of zero.
    """
    seen.stepped()
    fix = (
        "for p in frozen:\n    p.requires_grad = False\n    p.grad = None\n"
        "optimizer = SGD((p for p in model.parameters() if p.requires_grad), lr=..., momentum=0.9)"
    )
    for record in seen.gradients.optimizers.values():
        kind = type(record.optimizer).__name__
        if record.moved_frozen:
            name, place = next(iter(record.moved_frozen.items()))
            yield Symptom(
                f"{kind} moves {counted(len(record.moved_frozen), 'frozen parameter')}.",
                f"`{name}` does not require a gradient and still has an old one: it changed at {place}, by momentum, "
                "weight decay or that gradient.",
                fix,
            )
        moved = [
            name
            for name, before in record.zero_but_moved.items()
            if name not in record.learning
            and record.measured[name] >= 3
            and not torch.equal(before, seen.calls.parameters[name].detach().flatten()[: len(before)])
        ]
        if moved:
            yield Symptom(
                f"{kind} moves {counted(len(moved), 'parameter')} whose gradient is always zero.",
                f"The gradient of `{moved[0]}` was zero in all {record.measured[moved[0]]} steps measured, and the "
                "parameter changed: momentum or weight decay move it.",
                fix,
            )
    yield from _moved_otherwise(seen)


def _moved_otherwise(seen: Watch) -> Iterator[Symptom]:
    known = {name for record in seen.gradients.optimizers.values() for name in record.moved_frozen}
    moved = [name for name in seen.weights.moved_frozen() if name not in known]
    if moved and not seen.weights.loads:
        yield Symptom(
            f"{counted(len(moved), 'frozen parameter')} changed, and not through the optimizer.",
            f"`{moved[0]}` is the first. A momentum copy inside the model is meant to; a frozen layer is not.",
            "# look for code that writes to the parameters: copy_, data =, an average of weights",
            severity="note",
        )


@check("error")
def best_weights_by_reference(seen: Watch) -> Symptom | None:
    """The best weights are kept as a reference, so they change with the model.

    Symptom: loading the best weights changes nothing: the result is that of the last epoch.

    By hand: `best["fc.weight"].data_ptr() == model.fc.weight.data_ptr()`.

    Repair: `copy.deepcopy(model.state_dict())`, or save them to a file.
    """
    seen.stepped()
    fix = "best = copy.deepcopy(model.state_dict())"
    kept = list(seen.weights.references())
    if kept:
        later = seen.gradients.steps - kept[0].steps
        return Symptom(
            "The best weights are kept as a reference, and are now the last ones.",
            f"The state dict taken at {kept[0].place} shares its memory with the model, which made {later} more steps"
            f"{'; loading it back changed nothing' if kept[0].loaded else ''}.",
            fix,
        )
    if seen.best_is_model and not seen.weights.loads:
        return Symptom(
            f"`{seen.best_is_model}` is the model itself, or shares its tensors: it is no copy of the best state.",
            f"Its tensors are those of the model, which made {seen.gradients.steps} steps in the block.",
            f"{seen.best_is_model} = copy.deepcopy(model)  # or copy.deepcopy(model.state_dict())",
        )
    return None


@check("error")
def another_model_trained(seen: Watch) -> Symptom | None:
    """Another network is trained or validated than the one that is watched: a copy, or one made anew.

    Symptom: the training loss falls, and validation, or the saved model, is as before training.

    By hand: print `id(model)` where it is trained, where it is validated and where the optimizer is made.

    Repair: one model: make the optimizer from its parameters, and train, validate and save that one.
    """
    passes = seen.record.passes
    if not passes:
        raise CannotTell("no loader was iterated inside the block")
    foreign = seen.functions.foreign
    trained = [source for source, end, _ in foreign if end == "first" and source.role == "train"]
    if trained and not seen.record.reached and seen.functions.backwards:
        return Symptom(
            "Another network is trained, not this one.",
            f"A network with weights of the same shapes ran on {trained[0].place(1)}; this model got no gradient. "
            f"{counted(seen.gradients.foreign_steps, 'optimizer step')} went to parameters that it does not have.",
            "optimizer = SGD(model.parameters(), lr=...)  # of the model that is trained, and that is validated",
        )
    if seen.record.reached and seen.gradients.foreign_steps and not seen.gradients.steps and not seen.weights.moved():
        return Symptom(
            "The optimizer steps on other parameters than this model's: its weights never change.",
            f"{seen.record.reached} backward passes reached the model; {seen.gradients.foreign_steps} optimizer steps "
            "were made, all of them on parameters that it does not have.",
            "optimizer = SGD(model.parameters(), lr=...)  # made anew after the model",
        )
    validated = [values for source, end, values in foreign if end == "last" and source.role in ("val", "test")]
    if len(validated) < 2 or any(c.role in ("val", "test") for c in seen.record.calls) or not seen.gradients.steps:
        return None
    last = seen.weights.ends["last"].detach().flatten()[:64]
    stale = all(torch.equal(values, validated[0]) for values in validated)
    if stale and not torch.equal(last, seen.weights.ends_before["last"]):
        return Symptom(
            "A copy of the model is validated, and it never changes.",
            f"The model made {seen.gradients.steps} steps; the network that ran on the validation images in "
            f"{len(validated)} passes had the same weights in each of them.",
            "validate(model, val_loader)  # the model that is trained",
        )
    return None
