"""Which parameters the optimizer holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check

REMAKE = "optimizer = torch.optim.{name}([p for p in model.parameters() if p.requires_grad], lr={lr:g})"


@check("error", needs=("model", "optimizer"))
def foreign_parameters(case: Case) -> Symptom | None:
    """The optimizer holds parameters of another model, or of a layer that was replaced.

    Symptom: the loss does not move, or only the old part of the network learns.

    By hand: `ids = {id(p) for g in optimizer.param_groups for p in g["params"]}`; the ids of `model.parameters()` are
    to be in it.

    Repair: make the optimizer last, after the head was replaced and the model moved.
    """
    mine = {id(p) for p in case.model.parameters()}
    if isinstance(case.criterion, nn.Module):
        mine |= {id(p) for p in case.criterion.parameters()}
    held = _held(case.optimizer)
    foreign = [p for p in held if id(p) not in mine]
    missing = _missing(case)
    if not foreign or not missing:
        return None  # parameters of a second network beside this one are no mistake
    lost = sum(p.numel() for _, p in missing)
    whole = len(foreign) == len(held)
    names = ", ".join(name for name, _ in missing[:3])
    return Symptom(
        "The optimizer trains another model: none of its parameters belong to this one."
        if whole
        else f"The optimizer holds {len(foreign)} parameters that are no longer in the model: it was made before a "
        "layer was replaced.",
        f"{len(foreign)} of {len(held)} parameters that it holds (first of shape {tuple(foreign[0].shape)}) are not "
        f"the model's; {len(missing)} trainable ones of the model ({names}{' ...' if len(missing) > 3 else ''}; "
        f"{lost:,} numbers) are in no group and will never change.",
        _remake(case) + "  # after the last change to the model",
    )


@check("error", needs=("model", "optimizer"), unless=("foreign-parameters",))
def parameters_not_in_optimizer(case: Case) -> Symptom | None:
    """Parameters that should learn are in no group of the optimizer.

    Symptom: unfreezing a stage changes nothing.

    By hand: compare a weight of that stage before and after an epoch.

    Repair: `optimizer.add_param_group({"params": model.layer4.parameters()})`.
    """
    missing = _missing(case)
    if not missing:
        return None
    in_head = [name for name, _ in missing if name in case.head.parameters]
    trainable = sum(p.requires_grad for p in case.model.parameters())
    names = [name for name, _ in missing]
    listed = ", ".join(names[:3]) + (f" ... {names[-1]}" if len(names) > 3 else "")
    rate = case.optimizer.param_groups[-1]["lr"]
    return Symptom(
        f"{len(missing)} of {trainable} trainable parameters are in no group of the optimizer: they get gradients, "
        "but never change.",
        f"{sum(p.numel() for _, p in missing):,} numbers in {listed}"
        + (f"; the head {in_python(case.head.name)} is among them." if in_head else "."),
        f"held = {{id(p) for group in optimizer.param_groups for p in group['params']}}\n"
        "unfrozen = [p for p in model.parameters() if p.requires_grad and id(p) not in held]\n"
        f"optimizer.add_param_group({{'params': unfrozen, 'lr': {float(rate) / 10:g}}})\n"
        "# then make the scheduler again",
        severity="error" if in_head else "warning",
    )


@check("error", needs=("optimizer",))
def parameter_twice(case: Case) -> Symptom | None:
    """A parameter is held twice, so each step moves it twice.

    Symptom: that layer learns twice as fast as planned; the loss may swing.

    By hand: `len(ids) == len(set(ids))` for the ids of the parameters in all groups.

    Repair: build the second group from all parameters but those of the first.
    """
    counts = Counter(id(p) for p in _held(case.optimizer))
    twice = {key for key, count in counts.items() if count > 1}
    if not twice:
        return None
    names = [name for name, p in (case.model.named_parameters() if case.model else ()) if id(p) in twice]
    groups = [
        str(i) for i, group in enumerate(case.optimizer.param_groups) if any(id(p) in twice for p in group["params"])
    ]
    return Symptom(
        f"{len(twice)} parameters are held more than once: each step moves them once for each time.",
        f"In groups {', '.join(groups)}: {', '.join(names[:4]) or 'parameters of no given model'}"
        + (" ..." if len(names) > 4 else "."),
        _remake(case),
    )


@check("note", needs=("model", "optimizer"))
def frozen_in_optimizer(case: Case) -> Symptom | None:
    """Frozen parameters are in the optimizer, which matters as soon as they have a gradient left over.

    Symptom: a part that you froze midway goes on moving a little.

    By hand: compare a frozen weight before and after a step.

    Repair: `optimizer.zero_grad(set_to_none=True)` after freezing, or a new optimizer.
    """
    held = {id(p) for p in _held(case.optimizer)}
    frozen = [(name, p) for name, p in case.model.named_parameters() if id(p) in held and not p.requires_grad]
    if not frozen:
        return None
    left = [name for name, p in frozen if p.grad is not None]
    fix = "for p in model.parameters():\n    if not p.requires_grad:\n        p.grad = None  # no gradient, no step"
    if not left:
        return Symptom(
            f"{len(frozen)} frozen parameters are in the optimizer; harmless while they have no gradient.",
            f"None of them ({frozen[0][0]} ...) has a gradient, and optimizers skip such parameters. It would matter "
            "if they were frozen in the middle of training with gradients left over: then momentum and weight decay "
            "move them.",
            fix,
        )
    moved = _moved_by_a_step(case, left)
    if moved == 0:
        return Symptom(
            f"{len(frozen)} frozen parameters are in the optimizer, {len(left)} with a gradient left over.",
            f"A step on a copy moved none of them (first {left[0]}): their gradients are zero, and neither momentum "
            "nor weight decay acts on them.",
            fix,
        )
    return Symptom(
        f"{len(left)} frozen parameters would still move: they are in the optimizer with a gradient left over.",
        f"One step on a copy changed them by up to {moved:.2%} of their size (first {left[0]}), through the old "
        "gradient, momentum or weight decay.",
        fix,
        severity="warning",
    )


@check("note", needs=("model", "optimizer"))
def decay_on_norms(case: Case) -> Symptom | None:
    """Weight decay pulls on norms and biases.

    Symptom: none that shows in one run.

    By hand: print `weight_decay` of the group that holds the BatchNorm or LayerNorm weights.

    Repair: a group of its own with `weight_decay=0` for parameters with one dimension.
    """
    norms = {name for layer in case.layers if layer.is_norm for name in layer.parameters}
    names = {id(p): name for name, p in case.model.named_parameters() if p.requires_grad}
    decayed = [
        (names[id(p)], group["weight_decay"])
        for group in case.optimizer.param_groups
        for p in group["params"]
        if id(p) in names and group.get("weight_decay", 0) and (names[id(p)] in norms or p.ndim < 2)
    ]
    if not any(name in norms for name, _ in decayed):
        return None
    return Symptom(
        f"Weight decay of {decayed[0][1]:g} also pulls on {len(decayed)} norm and bias parameters.",
        f"For example {', '.join(name for name, _ in decayed[:3])}. They hold no surplus capacity; it is "
        "customary to leave them out. The effect is usually small.",
        "rest = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]\n"
        "weights = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]\n"
        f"optimizer = torch.optim.{case.optimizer_name}("
        f"[{{'params': weights}}, {{'params': rest, 'weight_decay': 0.0}}], "
        f"lr={float(case.optimizer.param_groups[0]['lr']):g}, weight_decay={decayed[0][1]:g})",
    )


def _held(optimizer: Any) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _missing(case: Case) -> list[tuple[str, nn.Parameter]]:
    held = {id(p) for p in _held(case.optimizer)}
    return [(name, p) for name, p in case.model.named_parameters() if p.requires_grad and id(p) not in held]


def _remake(case: Case) -> str:
    group = case.optimizer.param_groups[0]
    return REMAKE.format(name=case.optimizer_name, lr=float(group["lr"]))


def _moved_by_a_step(case: Case, names: list[str]) -> float:
    """The largest relative change of some parameters by one step of a copy, with the gradients as they are."""
    model_copy, optimizer = case.copies()
    before = {name: model_copy.get_parameter(name).detach().clone() for name in names}
    try:
        optimizer.step()
    except Exception as error:  # an optimizer that needs a closure, or whose state is broken
        raise CannotTell(f"the optimizer cannot step without a closure ({error})") from error
    return max(
        float((model_copy.get_parameter(name).detach() - old).norm() / old.norm().clamp_min(1e-12))
        for name, old in before.items()
    )
