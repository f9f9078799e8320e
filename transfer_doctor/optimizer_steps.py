"""How far steps move the weights: too little to learn anything, pulled to zero by decay, or rounded away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

import torch

from transfer_doctor.case import Case, in_python
from transfer_doctor.expectations import expected_classes
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.initialization import looks_untrained
from transfer_doctor.optimizer_rates import OTHER_CAUSES
from transfer_doctor.optimizers import each_optimizer
from transfer_doctor.trial_steps import all_trial_steps, factors, peak_rates, ready_to_learn

EPOCHS = 10  # after so many, a new head should have moved
UNMOVED, STILL = 0.05, 0.02  # fractions of its size: a head that moved less has learned hardly anything, or nothing
FEWEST = 50  # batches in an epoch, so that a try with a few images is not blamed
TENTH = 0.1  # highest factor of a LambdaLR below which it looks like a rate
RAISED = 0.05  # weight decay above which it is compared with the gradient; customary are 1e-5 to 0.05
DOMINATES = 2.0  # times the gradient
SHRINKS = 0.5  # decay per epoch, as a fraction of the weights
ADAPTIVE = ("Adam", "Adagrad", "RMSprop", "Lamb", "Adadelta", "Rprop")


@check(
    "error",
    needs=("model", "optimizer", "train_loader"),
    unless=(*OTHER_CAUSES, "nothing-trainable", "head-frozen", "parameters-not-in-optimizer"),
)
def rate_too_low(case: Case) -> Symptom | None:
    """The learning rate is so low that a new head learns nothing.

    Symptom: the loss hardly moves, from batch to batch and from epoch to epoch.

    By hand: compare `model.fc.weight` before and after an epoch.

    Repair: 1e-3 for a new head with Adam, 1e-2 with SGD; a `LambdaLR` returns a factor.
    """
    head = case.head
    rates = _rates(case)
    weight = head.weight
    if id(weight) not in rates or not weight.requires_grad or looks_untrained(weight) is False:
        return None
    rate = rates[id(weight)]
    trial = all_trial_steps(case)
    name = next(name for name, p in head.parameters.items() if p is weight)
    if not 0 < trial.changes.get(name, 0.0) < math.inf:
        return None  # no gradient reaches the head, whatever the rate
    if trial.losses[0] < 0.5 * math.log(max(2, expected_classes(case)[0])):
        return None  # the head has learned before
    # A new layer's size, for heads that begin at zero: He et al. (2015) as PyTorch has it, sqrt(1 / (3 fan_in)).
    size = max(float(weight.detach().norm()), math.sqrt(len(weight) / 3))
    moved = trial.changes[name] * float(weight.detach().norm().clamp_min(1e-12)) / size
    batches = max(FEWEST, case.train_loader.length or 0)
    momentum = max((float(group.get("momentum") or 0) for group in case.optimizer.param_groups), default=0.0)
    whole = moved * batches * EPOCHS / max(0.01, 1 - momentum)
    factor = _rate_as_factor(case)
    if whole >= UNMOVED and factor is None:
        return None
    fix = (
        f"head = list({in_python(head.name)}.parameters())\n"
        f"optimizer = torch.optim.{case.optimizer_name}([{{'params': head, 'lr': 1e-3}}, ...])"
    )
    cause = ""
    if factor is not None:
        cause = f" LambdaLR multiplies the rate by what its function returns, at most {factor:.2g}: return a factor."
        fix += "\nscheduler = LambdaLR(optimizer, lambda epoch: 0.9**epoch)  # a factor, not a rate"
    return Symptom(
        f"The learning rate of the head, {rate:.2g} at its highest, is too low to learn much.",
        f"On a copy, one step moved {in_python(head.name)} by {moved:.1e} of its size: at most {whole:.1e} in {EPOCHS} "
        f"epochs of {batches} batches.{cause}",
        fix,
        severity="error" if whole < STILL else "warning",
    )


def _rate_as_factor(case: Case) -> float | None:
    """The highest factor of a `LambdaLR` that seems to return rates; with a base of about 1 that is as it should be."""
    for scheduler in case.schedulers:
        for function, base in zip(
            getattr(scheduler, "lr_lambdas", ()), getattr(scheduler, "base_lrs", ()), strict=False
        ):
            highest = max(factors(function), default=1.0)
            if highest <= TENTH and base < 0.5:
                return highest
    return None


@check("error", needs=("model", "optimizer", "train_loader"), unless=("foreign-parameters", "module-raises"))
def weight_decay_too_high(case: Case) -> Symptom | None:
    """Weight decay pulls the weights to zero faster than training moves them.

    Symptom: the loss falls for a moment, then goes to that of guessing; all images get one class.

    By hand: print `model.fc.weight.norm()` in each epoch: it goes to zero.

    Repair: `weight_decay=1e-4`.
    """
    found = []
    for optimizer in each_optimizer(case.optimizer):
        decoupled = type(optimizer).__name__ in ("AdamW", "SGDW", "Lion") or optimizer.defaults.get(
            "decoupled_weight_decay", False
        )
        for group in optimizer.param_groups:
            if float(group.get("weight_decay") or 0) > RAISED:
                found.append((group, decoupled, float(group["weight_decay"])))
    if not found:
        return None
    group, decoupled, decay = max(found, key=lambda entry: entry[2])
    batches = case.train_loader.length or len(case.train_loader.batches)
    rates = _rates(case)
    rate = max((rates[id(p)] for p in group["params"] if p.requires_grad), default=0.0)
    effective = rate / max(0.01, 1 - float(group.get("momentum") or 0))
    shrinks = decay * effective * batches
    ratio = math.inf if decoupled else _pull(case, group, decay)
    if ratio < DOMINATES or (decoupled and shrinks < SHRINKS and decay < 1) or rate == 0:
        return None
    if decoupled:
        seen = (
            f"each epoch of {batches} batches takes {1 - math.exp(-shrinks):.0%} off every weight, whatever it is for"
        )
    else:
        seen = f"its pull is {ratio:.2g} times the gradient of the loss (the median of the weights it acts on)"
    return Symptom(
        f"Weight decay of {decay:g} pulls the weights to zero faster than they learn.",
        f"At a rate of {rate:g}, {seen}.",
        f"optimizer = torch.optim.{case.optimizer_name}(groups, lr={rate:g}, weight_decay=1e-4)",
    )


@check("warning", needs=("model", "optimizer"))
def half_precision_weights(case: Case) -> Iterator[Symptom]:
    """Weights that learn are stored in half precision, where small steps are lost.

    Symptom: the loss is NaN after a few steps, or stops moving early.

    By hand: `print(next(model.parameters()).dtype)`.

    Repair: `model.float()`, and `torch.autocast` around the forward pass.
    """
    learning = [(name, p) for name, p in case.model.named_parameters() if p.requires_grad]
    half = [(name, p) for name, p in learning if p.dtype in (torch.float16, torch.bfloat16)]
    if not half:
        return
    name, first = half[0]
    adaptive = any(word in type(one).__name__ for one in each_optimizer(case.optimizer) for word in ADAPTIVE)
    eps = min((float(group.get("eps", 1)) for group in case.optimizer.param_groups), default=1.0)
    lost = adaptive and first.dtype == torch.float16 and eps < 6e-8
    because = (
        f"eps of {eps:g} is 0 in float16, so {case.optimizer_name} divides by zero and weights become NaN; "
        if lost
        else ""
    )
    yield Symptom(
        f"{len(half)} of {len(learning)} parameters that learn are {str(first.dtype).removeprefix('torch.')}.",
        f"For example {name}. {because[:1].upper() + because[1:]}a step smaller than about "
        f"{torch.finfo(first.dtype).eps / 2:.1g} of a weight is rounded away.",
        "model.float()  # weights stay in float32\n"
        "with torch.autocast(device_type, dtype=torch.float16):  # and only the arithmetic is in half precision\n"
        "    loss = criterion(model(images), labels)\n"
        "scaler = torch.amp.GradScaler()",
        severity="error" if lost else "warning" if first.dtype == torch.float16 else "note",
    )


def _rates(case: Case) -> dict[int, float]:
    """The highest rate that each parameter has or will have, by its id."""
    groups = zip(case.optimizer.param_groups, peak_rates(case), strict=True)
    return {id(p): rate for group, rate in groups for p in group["params"]}


def _pull(case: Case, group: dict, decay: float) -> float:
    """How strongly decay pulls at weights, as a multiple of the loss's gradient."""
    model_copy, _, criterion = ready_to_learn(case)
    model_copy.zero_grad()
    few = case.affordable
    try:
        case.loss(criterion, case.run(model_copy, case.batch[0][:few]), case.batch[1][:few]).backward()
    except Exception as error:  # reported by the checks of the model and the loss
        raise CannotTell(f"a trial step raised {type(error).__name__}: {error}") from error
    held = {id(p) for p in group["params"]}
    names = [name for name, p in case.model.named_parameters() if id(p) in held and p.requires_grad and p.ndim >= 2]
    pairs = [model_copy.get_parameter(name) for name in names]
    ratios = [decay * float(p.norm() / p.grad.norm().clamp_min(1e-12)) for p in pairs if p.grad is not None]
    return median(ratios) if ratios else 0.0
