"""Backward, zero_grad and step: each there, and in the right order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_doctor.findings import CannotTell, Symptom
from transfer_doctor.watching.checks import check, counted
from transfer_doctor.watching.gradients import OptimizerRecord
from transfer_doctor.watching.record import Call

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

LOOP = "optimizer.zero_grad()\nloss = criterion(model(images), labels)\nloss.backward()\noptimizer.step()"
ANOTHER = "another-model-trained"


@check("error")
def zero_grad_missing(seen: Watch) -> Symptom | None:
    """Gradients are not cleared after a step, so the next one uses them again.

    Symptom: the loss falls for some batches, then swings more and more or becomes NaN; a smaller rate seems to help.

    By hand: print `model.fc.bias.grad.norm()` after each backward: it grows from batch to batch.

    Repair: `optimizer.zero_grad()` once for each step, before backward.
    """
    seen.stepped()
    for record in seen.gradients.optimizers.values():
        wrong = record.carried
        if wrong.times >= 2 and wrong.times >= 0.4 * record.steps:
            first, last = record.norms[0], record.norms[-1]
            return Symptom(
                f"{_name(record)} steps with gradients that earlier steps have used already: zero_grad is missing.",
                f"So in {wrong.times} of {record.steps} steps, first at {wrong.first}. The norm of the gradients went "
                f"from {first[1]:.3g} ({first[0]}) to {last[1]:.3g} ({last[0]}).",
                LOOP,
            )
    return None


@check("error")
def zero_grad_before_step(seen: Watch) -> Symptom | None:
    """Gradients are cleared between backward and step, so the step has none.

    Symptom: the loss does not move at all.

    By hand: print `model.fc.weight.grad` just before `optimizer.step()`: it is `None` or zero.

    Repair: `optimizer.zero_grad()` before `loss.backward()`, or after `optimizer.step()`.
    """
    seen.stepped()
    for record in seen.gradients.optimizers.values():
        if record.emptied.times >= 1 and record.emptied.times >= 0.3 * record.steps:
            return Symptom(
                f"Gradients are cleared between backward and step: {_name(record)} steps without any.",
                f"So in {record.emptied.times} of {record.steps} steps, first at {record.emptied.first}.",
                LOOP,
            )
    return None


@check("error", unless=("step-missing",))
def gradients_thrown_away(seen: Watch) -> Symptom | None:
    """Gradients are cleared before any step has used them.

    Symptom: accumulating over several batches trains no better than a single one; most batches might as well not be
    there.

    By hand: count the calls of `backward` and of `step`, and print `model.fc.bias.grad` before each `zero_grad()`.

    Repair: clear gradients right after the step, under the same `if` as the step.
    """
    seen.trained()
    for record in seen.gradients.optimizers.values():
        if record.lost.times >= 2 and record.lost.times >= 0.25 * record.backwards:
            return Symptom(
                "Gradients are cleared before any step has used them: most batches teach nothing.",
                f"So after {record.lost.times} of {record.backwards} backward passes, first at {record.lost.first}; "
                f"{_name(record)} made {record.steps} steps.",
                "loss = criterion(model(images), labels) / accumulate\nloss.backward()\n"
                "if (i + 1) % accumulate == 0:\n    optimizer.step()\n    optimizer.zero_grad()",
            )
    return None


@check("error", unless=(ANOTHER,))
def backward_missing(seen: Watch) -> Symptom | None:
    """No backward pass reaches the model before the step.

    Symptom: the loss does not move, or the weights change though nothing is learned (momentum, weight decay).

    By hand: `print(next(model.parameters()).grad)` after the first batch: it is `None`.

    Repair: `loss.backward()` between the loss and the step, on the loss itself and not on a number made from it.
    """
    calls = [c for c in seen.record.calls if c.role not in ("val", "test") and c.has_graph and c.training]
    if not calls and not seen.gradients.steps:
        raise CannotTell("the model was not called for training inside the block")
    if calls and not seen.record.reached:
        return _nothing_came_back(seen, calls)
    for record in seen.gradients.optimizers.values():
        if record.idle.times >= 2 and record.idle.times >= 0.4 * record.steps:
            return Symptom(
                f"{_name(record)} steps without a backward pass since its last step.",
                f"So in {record.idle.times} of {record.steps} steps, first at {record.idle.first}; "
                f"{seen.record.reached} backward passes reached the model.",
                LOOP,
            )
    return None


def _nothing_came_back(seen: Watch, calls: list[Call]) -> Symptom:
    backwards = seen.functions.backwards
    cut = f"backward was called {backwards} times, and none came through the model's outputs: the loss is cut off"
    return Symptom(
        "The loss is cut off from the model: backward never comes through its outputs."
        if backwards
        else "loss.backward() is missing: the model gets no gradients.",
        f"The model was called {len(calls)} times in train mode, first at {calls[0]}; "
        f"{cut if backwards else 'backward was never called'}; the optimizer made {seen.gradients.steps} steps.",
        LOOP,
    )


@check("error", unless=(ANOTHER,))
def step_missing(seen: Watch) -> Symptom | None:
    """Backward is called and the optimizer never steps.

    Symptom: the loss does not move: training and validation results are the same in every epoch.

    By hand: compare `model.fc.weight[0, :3]` before and after an epoch.

    Repair: `optimizer.step()` after `loss.backward()`.
    """
    trained = seen.trained()
    if seen.gradients.steps or seen.weights.moved():
        return None
    return Symptom(
        "optimizer.step() is missing: the weights never change.",
        f"{len(trained)} backward passes reached the model, the first at {trained[0]}, and no optimizer of its "
        "parameters made a step.",
        LOOP,
    )


@check("warning", unless=("gradients-thrown-away", "zero-grad-before-step", "step-missing"))
def step_once_per_epoch(seen: Watch) -> Symptom | None:
    """The optimizer steps once per epoch, as `step` is not inside the loop over batches.

    Symptom: training is far too slow: the loss moves a little from epoch to epoch.

    By hand: look at the indentation of `optimizer.step()`; count its calls in an epoch.

    Repair: indent `optimizer.step()` into the loop over batches. Gradients of a whole epoch, where they are meant,
    want the loss divided by the number of batches.
    """
    calls = seen.trained()
    epochs = [p for p in seen.record.passes if p.epoch and p.complete and len(p.sizes) >= 4]
    if not epochs or any(p.steps > 1 for p in epochs) or not seen.stepped():
        return None
    if seen.functions.scaled is not None:
        backward, loss = (float(value) for value in seen.functions.scaled)
        if loss and backward / loss < 0.6:  # divided by a number of batches: meant to add up
            return None
    batches = sum(1 for c in calls if c.batch is not None and c.batch.source is epochs[0])
    return Symptom(
        "The optimizer steps once per epoch, not once per batch.",
        f"Epoch {epochs[0].epoch} had {batches} backward passes and {counted(epochs[0].steps, 'step')}, so the "
        "gradients of all its batches add up.",
        "for images, labels in train_loader:\n    optimizer.zero_grad()\n"
        "    criterion(model(images), labels).backward()\n    optimizer.step()  # inside the loop over batches",
    )


def _name(record: OptimizerRecord) -> str:
    return type(record.optimizer).__name__
