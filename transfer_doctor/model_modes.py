"""Train mode, eval mode, and dropout where it does not belong."""

from __future__ import annotations

from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check

DROPOUT = nn.modules.dropout._DropoutNd


@check("warning", needs=("model",))
def eval_mode_for_training(case: Case) -> Symptom | None:
    """The model is in eval mode, though layers that behave differently in training are to learn.

    Symptom: overfitting starts early, as dropout is off; BatchNorm keeps the old statistics.

    By hand: `print([n for n, m in model.named_modules() if not m.training])` in the training loop.

    Repair: `model.train()` at the start of each epoch.
    """
    if case.optimizer is None:
        raise CannotTell("no optimizer was given, so the model may be for evaluation")
    if case.model.training:
        return _stage_left_in_eval(case)
    learning = [layer for layer in case.layers if layer.is_batch_norm and not layer.frozen]
    dropout = [name for name, module in case.model.named_modules() if isinstance(module, DROPOUT) and module.p > 0]
    fix = "model.train()  # at the start of every training epoch"
    if learning:
        return Symptom(
            f"The model is in eval mode, and {len(learning)} BatchNorm layers are to learn.",
            f"model.training is False; {case.listed(learning)} would use the pretrained statistics; dropout is off.",
            fix,
        )
    if dropout:
        return Symptom(
            "The model is in eval mode, so dropout is off.",
            f"model.training is False; {len(dropout)} dropout layers (first {in_python(dropout[0])}) drop nothing.",
            fix,
            severity="note",
        )
    return None


def _stage_left_in_eval(case: Case) -> Symptom | None:
    """Some BatchNorm layers learn in eval mode while the others follow the images."""
    learning = [layer for layer in case.layers if layer.is_batch_norm and not layer.frozen]
    still = [layer for layer in learning if not layer.module.training]
    if not still:
        return None
    mixed = len(still) < len(learning)
    return Symptom(
        f"{len(still)} BatchNorm layers are to learn, but stay in eval mode although the model is in train mode.",
        f"{case.listed(still)} keep the pretrained statistics while their scale and shift learn; "
        + (
            f"the other {len(learning) - len(still)} that learn follow the images. A stage was probably unfrozen "
            "without setting its mode."
            if mixed
            else "where that is on purpose, as with few images, nothing is wrong."
        ),
        f"{in_python(still[0].name)}.train()  # and the others; requires_grad_(True) does not change the mode",
        severity="warning" if mixed else "note",
    )


@check("warning", needs=("model", "val_loader"))
def train_mode_for_evaluation(case: Case) -> Symptom | None:
    """The model is in train mode where it is to be evaluated.

    Symptom: validation accuracy is too low and changes from run to run and with the batch size.

    By hand: `print(model.training)` in the validation loop; predict the same image twice.

    Repair: `model.eval()` before validation and prediction.
    """
    if case.optimizer is not None or case.train_loader is not None:
        raise CannotTell("an optimizer or training loader was given, so the model is about to be trained")
    active = [
        (name, module)
        for name, module in case.model.named_modules()
        if module.training and (_batch_norm(module) or (isinstance(module, DROPOUT) and module.p > 0))
    ]
    if not active:
        return None
    norms = sum(_batch_norm(module) for _, module in active)
    return Symptom(
        "The model is in train mode: each prediction depends on the other images of its batch, or on chance.",
        f"{norms} BatchNorm layers would use the batch's own statistics (and change their own), and "
        f"{len(active) - norms} dropout layers would drop features; the first is {in_python(active[0][0])}.",
        "model.eval()\nwith torch.inference_mode():\n    scores = model(images)",
    )


@check("note", needs=("model", "loader"), unless=("nothing-trainable",))
def dropout_in_frozen_part(case: Case) -> Symptom | None:
    """Dropout is active between frozen layers, so the frozen features are noisy in training.

    Symptom: training loss is higher than validation loss.

    By hand: `print([n for n, m in model.named_modules() if isinstance(m, nn.Dropout) and m.training])`.

    Repair: none if it is meant as regularization; else set the frozen part to eval mode.
    """
    if case.forward_trace.error is not None:
        raise CannotTell("the model raises on a batch")
    model_copy = case.in_training()
    modes = {name: module.training for name, module in model_copy.named_modules()}
    modules = dict(case.model.named_modules())
    frozen = {layer.name for layer in case.layers if layer.frozen}
    last_frozen = max((i for i, name in enumerate(case.forward_trace.calls) if name in frozen), default=-1)
    first_learning = next((i for i, name in enumerate(case.forward_trace.calls) if _learns(modules[name])), 0)
    inside = [
        name
        for i, name in enumerate(case.forward_trace.calls)
        if first_learning > last_frozen > i and _drops(modules[name]) and modes[name]
    ]
    if not inside:
        return None
    return Symptom(
        f"{in_python(inside[0])} drops features between frozen layers.",
        f"{len(inside)} active dropout layers (the first {modules[inside[0]]}) come before "
        f"{in_python(case.forward_trace.calls[last_frozen])}, which is frozen: the part that learns never sees the "
        "features that it will be given in eval mode. It acts as a mild regularizer.",
        f"{in_python(inside[0])}.eval()  # after each model.train()",
    )


def _drops(module: nn.Module) -> bool:
    return (isinstance(module, DROPOUT) or type(module).__name__ in ("StochasticDepth", "DropPath")) and (
        getattr(module, "p", 0) or getattr(module, "drop_prob", 0) or 0
    ) > 0


def _learns(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module._parameters.values() if p is not None)


def _batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
