"""The head: its size, whether it is in use, whether it learns."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.expectations import PRETRAINING_CLASSES, expected_classes, loss_kind, new_layer
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.initialization import looks_untrained

SIZES = {  # attribute -> the axis of the weight that it describes
    nn.Linear: {"out_features": 0, "in_features": 1},
    nn.Conv2d: {"out_channels": 0},
    nn.BatchNorm1d: {"num_features": 0},
    nn.BatchNorm2d: {"num_features": 0},
}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.Identity)


@check("error", needs=("model", "loader"), unless=("head-edited-in-place", "head-not-reached", "labels-from-one"))
def head_wrong_size(case: Case) -> Symptom | None:
    """The head has another number of outputs than the task has classes.

    Symptom: training works, but predictions name classes of the source task, and scores are low at first.

    By hand: `print(model(images).shape)`: the second number is to be the number of your classes.

    Repair: replace the head, then make the optimizer: `model.fc = nn.Linear(model.fc.in_features, classes)`.
    """
    classes, source = expected_classes(case)
    outputs = case.outputs.shape[-1]
    if outputs == classes or _binary(case, outputs, classes) or case.sample.labels is None:
        return None
    from_labels = case.classes is None and not case.class_names
    if from_labels and outputs not in PRETRAINING_CLASSES and outputs > classes:
        return None  # a few classes without images: `classes_missing` looks at that
    if from_labels and 1 < outputs < classes:
        return None  # `labels_out_of_range` has the label that does not fit
    name, layer = case.head.name, case.head.module
    never = " (it looks as if the pretrained head was never replaced)" if outputs in PRETRAINING_CLASSES else ""
    return Symptom(
        f"The head has {outputs} outputs for {classes} classes{never}.",
        f"{in_python(name)} = {layer} gives scores of shape {tuple(case.outputs.shape)}; {source}.",
        f"{in_python(name)} = {new_layer(layer, classes)}\n# before the optimizer is made",
    )


@check("error", needs=("model",))
def head_edited_in_place(case: Case) -> Iterator[Symptom]:
    """A layer's size was edited as an attribute, which changes no weight.

    Symptom: `print(model)` shows the right number of outputs, and the outputs have another.

    By hand: `print(model.fc.weight.shape)`.

    Repair: a new layer: `model.fc = nn.Linear(model.fc.in_features, classes)`.
    """
    for name, module in case.model.named_modules():
        for attribute, axis in SIZES.get(type(module), {}).items():
            told, weight = getattr(module, attribute), module.weight
            if weight is not None and not nn.parameter.is_lazy(weight) and weight.shape[axis] != told:
                yield Symptom(
                    f"{in_python(name)}.{attribute} was set to {told}, but its weight still has {weight.shape[axis]}.",
                    f"The weight of {in_python(name)} has shape {tuple(weight.shape)}: setting the attribute made "
                    "no new weight.",
                    f"{in_python(name)} = {new_layer(module, told) if attribute != 'num_features' else '...'}",
                )
        if isinstance(module, CONTAINERS):
            for attribute in ("out_features", "num_classes"):
                if isinstance(vars(module).get(attribute), int):
                    last = [(key, child) for key, child in module.named_modules() if isinstance(child, nn.Linear)]
                    path = f"{name}.{last[-1][0]}" if last else name
                    told = vars(module)[attribute]
                    fix = new_layer(last[-1][1], told) if last else f"nn.Linear(features, {told})"
                    yield Symptom(
                        f"{in_python(name)}.{attribute} = {told} does nothing: a {type(module).__name__} has no such "
                        "setting.",
                        f"The attribute is stored on the container; its layers are as before: {module}.",
                        f"{in_python(path)} = {fix}",
                    )


@check("error", needs=("model", "loader"))
def head_not_reached(case: Case) -> Iterator[Symptom]:
    """A layer with the task's number of outputs is part of the model, but `forward` never uses it.

    Symptom: the loss moves little, or not at all where only the new head learns; outputs keep their old number.

    By hand: `print(model(images).shape)`, and after a backward pass `model.fc.weight.grad`, which is `None`.

    Repair: replace the layer that `forward` uses: `print(model)` shows its name near the end.
    """
    if case.forward_trace.error is not None:
        raise CannotTell("the model raises on a batch")
    idle = set(case.forward_trace.unreached)
    layers = [layer for layer in case.layers if set(layer.parameters) <= idle and not layer.frozen]  # peft keeps a copy
    try:
        classes = expected_classes(case)[0]
    except CannotTell:
        classes = None
    for layer in layers:
        if isinstance(layer.module, (nn.Linear, nn.Conv2d)) and _was_meant(case, layer, classes):
            used = case.head.name
            top = layer.name.split(".")[0]
            yield Symptom(
                f"{in_python(layer.name)} is never used: the outputs come from {in_python(used)}.",
                f"After a backward pass from the outputs no gradient reaches {', '.join(layer.parameters)}; the last "
                f"layer that ran is {in_python(used)} = {case.head.module}.",
                f"{in_python(used)} = {new_layer(case.head.module, classes)}"
                + (f"\ndel {in_python(top)}" if top != used.split(".")[0] else ""),
            )


@check("note", needs=("model", "loader"), unless=("head-not-reached", "module-raises"))
def parameters_unused(case: Case) -> Symptom | None:
    """Parameters that learn, but on which the outputs do not depend.

    Symptom: none in one process; distributed training stops with an error about unused parameters.

    By hand: after a backward pass, list the parameters whose `grad` is `None`.

    Repair: none if it is an auxiliary head; else remove the layer, or call it in `forward`.
    """
    if case.forward_trace.error is not None:
        raise CannotTell("the model raises on a batch")
    trainable = {name for name, p in case.model.named_parameters() if p.requires_grad}
    idle = [name for name in case.forward_trace.unreached if name in trainable]
    if not idle:
        return None
    return Symptom(
        f"{len(idle)} trainable parameters are never used by forward, so they stay as they are.",
        f"After a backward pass in training mode they have no gradient: {', '.join(idle[:4])}"
        + (f" ... {idle[-1]}." if len(idle) > 4 else "."),
        f"for name in {idle[:3]!r}:  # and the others: use them in forward, or take them out\n"
        "    print(model.get_parameter(name).shape)",
    )


@check("error", needs=("model",), unless=("nothing-trainable", "head-not-reached"))
def head_frozen(case: Case) -> Symptom | None:
    """The head does not learn, although other layers do.

    Symptom: the loss hardly moves, and accuracy stays near that of guessing.

    By hand: `print([n for n, p in model.named_parameters() if p.requires_grad])`: the head's names are missing.

    Repair: freeze first, then replace the head; or `model.fc.requires_grad_(True)`.
    """
    head: Layer = case.head
    others = [layer for layer in case.layers if not layer.frozen and layer is not head]
    if not head.frozen or not others:
        return None
    untrained = looks_untrained(head.weight)
    if untrained is False and head.weight.shape[0] in PRETRAINING_CLASSES:
        return None  # a pretrained head on its own classes may well be kept
    state = " and freshly initialized" if untrained else ""
    return Symptom(
        f"The head {in_python(head.name)} is frozen{state}, so its answers stay at chance or where they were.",
        f"requires_grad is False for {', '.join(head.parameters)}; what learns is {case.listed(others)}.",
        f"for parameter in {in_python(head.name)}.parameters():\n    parameter.requires_grad = True",
    )


def _was_meant(case: Case, layer: Layer, classes: int | None) -> bool:
    """Whether an idle layer was to be the head.

    It then has the task's classes for outputs or, where these are unknown, takes what a head takes that still has the
    classes of the pretraining.
    """
    if classes is not None:
        return layer.weight.shape[0] == classes
    used = case.head
    return used.weight.shape[0] in PRETRAINING_CLASSES and layer.weight.shape[1] == used.weight.shape[1]


def _binary(case: Case, outputs: int, classes: int) -> bool:
    """Whether one output for two classes is as the loss wants it."""
    return outputs == 1 and classes == 2 and loss_kind(case) not in ("logits", "log-probabilities")
