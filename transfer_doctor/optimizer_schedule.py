"""The learning-rate schedule: whose it is, and whether it fits optimizer and loader."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch.optim import lr_scheduler

from transfer_doctor.case import Case
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.optimizers import each_optimizer, inside
from transfer_doctor.trial_steps import peak_rates

SETTINGS = ("weight_decay", "momentum", "betas", "eps", "nesterov", "dampening", "amsgrad", "alpha")
ACCUMULATION = (1, 2, 4, 8, 16, 32, 64)
RARER = (3, 5, 6, 10, 12, 20, 24)  # believed only where nothing else explains the number of steps


@check("error", needs=("optimizer", "scheduler"))
def scheduler_of_another_optimizer(case: Case) -> Symptom | None:
    """The scheduler steers another optimizer.

    Symptom: the printed rates fall as planned, and training does not change with them.

    By hand: `scheduler.optimizer is optimizer`.

    Repair: make the scheduler after the optimizer that you use.
    """
    for scheduler in case.schedulers:
        steered = inside(getattr(scheduler, "optimizer", None), "optimizer")
        if steered is not None and all(steered is not one for one in each_optimizer(case.optimizer)):
            mine = {id(p) for group in case.optimizer.param_groups for p in group["params"]}
            theirs = {id(p) for group in steered.param_groups for p in group["params"]}
            return Symptom(
                f"{type(scheduler).__name__} steers another optimizer: this one's learning rate will never change.",
                f"Its optimizer is another {type(steered).__name__} with {len(theirs)} parameters, "
                f"{len(mine & theirs)} of them among the {len(mine)} that this {case.optimizer_name} holds.",
                f"scheduler = {_call(scheduler)}  # after the last new optimizer",
            )
    return None


@check("error", needs=("optimizer", "scheduler"), unless=("scheduler-of-another-optimizer",))
def scheduler_misses_groups(case: Case) -> Symptom | None:
    """The scheduler was made for fewer groups than the optimizer has now.

    Symptom: an error at the next `scheduler.step()`, or one group keeps its first rate.

    By hand: `len(scheduler.base_lrs) == len(optimizer.param_groups)`.

    Repair: make the scheduler again after `add_param_group`.
    """
    for scheduler in case.schedulers:
        steered = inside(getattr(scheduler, "optimizer", None), "optimizer")
        groups = len(getattr(steered, "param_groups", ()))
        known = len(getattr(scheduler, "base_lrs", ())) or len(getattr(scheduler, "min_lrs", ()))
        if known and known < groups:
            later = steered.param_groups[known]
            return Symptom(
                f"{type(scheduler).__name__} was made for {known} parameter groups; the optimizer has {groups} now.",
                f"Group {known} ({len(later['params'])} parameters, rate {float(later['lr']):g}) came later; this "
                "scheduler raises an error at its next step or leaves the group out.",
                f"scheduler = {_call(scheduler)}  # after the last optimizer.add_param_group(...)",
            )
    return None


@check("warning", needs=("optimizer", "scheduler"))
def schedule_flattens_rates(case: Case) -> Symptom | None:
    """One peak rate for all groups flattens discriminative rates.

    Symptom: discriminative rates make no difference.

    By hand: print `group["lr"]` of each group after the first step.

    Repair: `OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], ...)`.
    """
    cyclic = [s for s in case.schedulers if isinstance(s, (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR))]
    groups = case.optimizer.param_groups
    if not cyclic or len(groups) < 2:
        return None
    peaks = peak_rates(case)
    # Groups that agree in every other setting were made for the sake of different rates.
    kinds: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        kinds.setdefault(repr([group.get(name) for name in SETTINGS if name != "momentum"]), []).append(index)
    alike = next((same for same in kinds.values() if len(same) > 1 and len({peaks[i] for i in same}) == 1), None)
    if alike is None or len(set(peaks)) > 1:
        return None
    name = type(cyclic[0]).__name__
    wanted = ", ".join(f"{peaks[0] * 0.1 ** (len(groups) - 1 - i):.3g}" for i in range(len(groups)))
    steps = getattr(cyclic[0], "total_steps", None)
    length = f", total_steps={steps}" if steps else ""
    return Symptom(
        f"{name} gives all {len(groups)} groups the same peak rate of {peaks[0]:g}, whatever theirs were.",
        f"Groups {', '.join(map(str, alike))} agree in every other setting, so their own rates were their purpose; "
        f"{name} overwrote them with {float(groups[0]['lr']):g} now and {peaks[0]:g} at its peak.",
        f"scheduler = torch.optim.lr_scheduler.{name}(optimizer, max_lr=[{wanted}]{length})",
    )


@check("warning", needs=("train_loader", "scheduler"))
def schedule_length(case: Case) -> Iterator[Symptom]:
    """The schedule's number of steps does not fit the training loader.

    Symptom: the rate is still high when training ends, or the scheduler raises an error before the end.

    By hand: print `scheduler.total_steps` and `epochs * len(train_loader)`.

    Repair: `total_steps=epochs * len(train_loader)`, and step after every batch.
    """
    batches = case.train_loader.length
    for scheduler in case.schedulers:
        if not isinstance(scheduler, lr_scheduler.OneCycleLR):
            continue
        if not batches:
            raise CannotTell("the training loader does not tell how many batches it has, or has none")
        steps = scheduler.total_steps
        cause = _explanation(case, steps, batches)
        fits = _fits(steps, batches, ACCUMULATION if cause else ACCUMULATION + RARER)
        in_images = cause is not None and "images" in cause
        if fits and (steps >= batches or batches < 8) and not in_images:
            continue
        if cause is None and steps < batches and any(steps == -(-batches // n) for n in ACCUMULATION + RARER):
            continue
        yield Symptom(
            f"OneCycleLR plans {steps} steps, as if an epoch had "
            + (
                f"{len(case.train_loader.dataset)} batches; it has {batches}."
                if in_images
                else f"another number of batches than {batches}."
            ),
            f"{steps} / {batches} = {steps / batches:.3g} epochs{cause or ''}. Stepped per batch, the rate would "
            + ("never come down." if steps > batches else "run out, with an error, within the first epoch."),
            "scheduler = torch.optim.lr_scheduler.OneCycleLR("
            f"optimizer, max_lr={max(peak_rates(case)) if case.optimizer is not None else 1e-3:g}, epochs=epochs, "
            "steps_per_epoch=len(train_loader))",
        )


@check("warning", needs=("train_loader", "scheduler"))
def epochs_counted_in_batches(case: Case) -> Symptom | None:
    """A scheduler that counts epochs was stepped once per batch.

    Symptom: training stops to improve within the first epoch, and the loss stays where it is.

    By hand: print `optimizer.param_groups[0]["lr"]` at the end of each epoch.

    Repair: `scheduler.step()` once per epoch, outside the loop over batches.
    """
    batches = case.train_loader.length
    if batches is None:
        raise CannotTell("the training loader does not tell how many batches it has")
    for scheduler in case.schedulers:
        steps, planned = getattr(scheduler, "last_epoch", 0), _epochs_planned(scheduler)
        if planned is None or batches < 4 or steps < batches or steps % batches:
            continue
        if planned >= (2 * batches if _optimizer_steps(scheduler) == steps else batches):
            continue
        base = getattr(scheduler, "base_lrs", [0.0])[0]
        now = float(scheduler.optimizer.param_groups[0]["lr"])
        return Symptom(
            f"{type(scheduler).__name__} counts epochs and was stepped per batch: {steps} steps are "
            f"{steps // batches} epoch{'s' if steps > batches else ''} of {batches} batches.",
            f"It was made for about {planned} steps. The rate began at {base:g} and is {now:.2g} now.",
            "for epoch in range(epochs):\n    for images, labels in train_loader:\n        ...\n"
            "    scheduler.step()  # once an epoch, after its batches",
        )
    return None


def _optimizer_steps(scheduler: Any) -> int | None:
    """How many steps the optimizer has taken, where it counts them, as Adam does."""
    optimizer = inside(scheduler.optimizer, "optimizer")
    return next((int(state["step"]) for state in optimizer.state.values() if "step" in state), None)


def _epochs_planned(scheduler: Any) -> int | None:
    """After how many steps a scheduler has done most of what it does, or None where it plans nothing."""
    if isinstance(scheduler, (lr_scheduler.CosineAnnealingLR, lr_scheduler.CosineAnnealingWarmRestarts)):
        return getattr(scheduler, "T_max", None) or scheduler.T_0
    if isinstance(scheduler, lr_scheduler.StepLR):
        return scheduler.step_size
    if isinstance(scheduler, lr_scheduler.MultiStepLR):
        return max(scheduler.milestones, default=None)
    if isinstance(scheduler, lr_scheduler.ExponentialLR) and 0 < scheduler.gamma < 1:
        return math.ceil(math.log(0.01) / math.log(scheduler.gamma))
    if isinstance(scheduler, (lr_scheduler.LinearLR, lr_scheduler.PolynomialLR, lr_scheduler.ConstantLR)):
        return scheduler.total_iters
    return None


def _fits(steps: int, batches: int, accumulation: tuple[int, ...]) -> bool:
    """Whether steps make whole epochs (and one step to spare), stepped after every batch or after so many each."""
    return steps % batches == 1 < batches < steps or any(
        per_epoch and steps % per_epoch == 0 and (every == 1 or per_epoch > 1)
        for every in accumulation
        for per_epoch in (-(-batches // every), batches // every)
        if every <= batches
    )


def _explanation(case: Case, steps: int, batches: int) -> str | None:
    dataset = case.train_loader.dataset
    images = len(dataset) if hasattr(dataset, "__len__") else None
    # A multiple of the images may be a whole number of epochs too: of ever so many, for three "epochs" and more.
    if images and images != batches and steps % images == 0 and (steps % batches or steps // images >= 3):
        return f"; it is {steps // images} times the number of images ({images}), not of batches"
    other = case.val_loader.length if case.val_loader is not None else None
    if other and other != batches and steps % other == 0:
        return f"; it is {steps // other} times the length of the validation loader ({other})"
    return None


def _call(scheduler: Any) -> str:
    values = {key: getattr(scheduler, key) for key in ("step_size", "gamma", "T_max") if hasattr(scheduler, key)}
    return f"{type(scheduler).__name__}(optimizer{''.join(f', {key}={value}' for key, value in values.items())})"
