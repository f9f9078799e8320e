"""The learning-rate schedule as it ran: what it counts, when it steps, and whether it is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from transfer_doctor.findings import CannotTell, Symptom
from transfer_doctor.watching.checks import check
from transfer_doctor.watching.schedulers import SchedulerRecord, unwrapped

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

SET_OUTRIGHT = {"OneCycleLR", "CyclicLR", "LambdaLR", "CosineAnnealingWarmRestarts"}  # whatever the rate was before
WHOLE = {*SET_OUTRIGHT, "CosineAnnealingLR", "PolynomialLR", "ReduceLROnPlateau"}  # each meant to be the only one
WARM_UP = {"LinearLR", "ConstantLR"}
GONE = 0.05  # of its highest rate: nothing is learned any more
FAST = 0.97  # factor for each step below which an exponential schedule counts epochs
MOST_EPOCHS = 300
LONGEST = 5_000  # steps of a function of the loop's own that are looked at


@check("warning")
def scheduler_per_batch(seen: Watch) -> Iterator[Symptom]:
    """The scheduler steps with every batch and counts epochs.

    Symptom: training stops to improve within the first epoch or two, and the loss stays where it is.

    By hand: print `optimizer.param_groups[0]["lr"]` at the end of each epoch.

    Repair: `scheduler.step()` once per epoch, outside the loop over batches; or a schedule in batches:
    `T_max=epochs * len(train_loader)`.
    """
    for record in _stepped(seen):
        if not record.per_batch() or any(step.by_hand for step in record.steps):
            continue
        batches = max(others for _, others in record.per_epoch())
        reason, sure = _counts_epochs(seen, record, batches)
        if reason:
            yield Symptom(
                f"{record.name} steps with every batch, and {'counts' if sure else 'may count'} epochs.",
                f"{len(record.steps)} steps in {len(record.per_epoch())} epochs of {batches} optimizer steps, the "
                f"first at {record.steps[0].place}: {reason}.",
                "for epoch in range(epochs):\n    train_one_epoch(...)\n    validate(...)\n"
                f"    scheduler.step({'val_loss' if record.name == 'ReduceLROnPlateau' else ''})",
                severity=None if sure else "note",
            )


@check("warning")
def scheduler_per_epoch(seen: Watch) -> Iterator[Symptom]:
    """The scheduler steps once per epoch and counts batches.

    Symptom: the rate stays where the schedule begins: with warm-up training crawls, without it the rate never falls.

    By hand: print `optimizer.param_groups[0]["lr"]` in each epoch.

    Repair: `scheduler.step()` after each `optimizer.step()`, inside the loop over batches; or a schedule in epochs.
    """
    for record in _stepped(seen):
        if not record.once_per_epoch() or any(step.by_hand for step in record.steps):
            continue
        batches = max(others for _, others in record.per_epoch())
        reason, sure = _counts_batches(seen, record, batches)
        if reason:
            yield Symptom(
                f"{record.name} steps once per epoch, and {'counts' if sure else 'may count'} batches.",
                f"{len(record.steps)} steps while the optimizer made {batches} in each epoch: {reason}.",
                "for images, labels in train_loader:\n    ...\n    optimizer.step()\n    scheduler.step()",
                severity=None if sure else "note",
            )


@check("warning")
def scheduler_before_optimizer(seen: Watch) -> Iterator[Symptom]:
    """The scheduler steps before the optimizer, so the first rate of the schedule is never used.

    Symptom: PyTorch warns that `lr_scheduler.step()` was called before `optimizer.step()`; every rate comes one step
    too early.

    By hand: read the two calls in the order in which they run.

    Repair: `optimizer.step()`, then `scheduler.step()`.
    """
    for record in _stepped(seen):
        first = record.steps[0]
        pending = sum(step.pending for step in record.steps)
        each_batch = record.per_batch() and pending >= 2 and pending >= 0.6 * len(record.steps)
        at_start = record.began_at == 0 and first.optimizer_steps == 0 and not first.pending
        if each_batch or at_start:
            yield Symptom(
                f"{record.name} steps before the optimizer: the first rate of its schedule is never used.",
                f"Its first step was at {first.place}, after {first.optimizer_steps} optimizer steps"
                + (f"; in {pending} of {len(record.steps)} steps the gradients still waited." if each_batch else "."),
                "loss.backward()\noptimizer.step()\nscheduler.step()",
            )


@check("warning")
def scheduler_never_stepped(seen: Watch) -> Iterator[Symptom]:
    """The scheduler was passed and never steps.

    Symptom: none but a worse result: the rate stays the same from the first epoch to the last.

    By hand: print `scheduler.get_last_lr()` in each epoch.

    Repair: `scheduler.step()` at the end of each epoch, or after each `optimizer.step()` where it counts batches.
    """
    shown = [seen.schedulers.records[id(s)] for s in seen.schedulers.shown if id(s) in seen.schedulers.records]
    if not shown:
        raise CannotTell(
            f"cannot watch a {seen.schedulers.not_seen[0]}" if seen.schedulers.not_seen else "no scheduler was passed"
        )
    if seen.record.epochs < 2:
        raise CannotTell("the block holds fewer than two training epochs")
    for record in shown:
        optimizer = seen.gradients.optimizers.get(id(unwrapped(getattr(record.scheduler, "optimizer", None))))
        if not record.steps and optimizer and len({rate for _, rate in optimizer.rates}) == 1:
            yield Symptom(
                f"{record.name} never steps: the rate stays what it was.",
                f"{seen.record.epochs} epochs and {seen.gradients.steps} optimizer steps passed without a step of it.",
                "scheduler.step()  # at the end of each epoch",
            )


@check("warning")
def several_schedulers(seen: Watch) -> Iterator[Symptom]:
    """Several schedulers change the rate of one optimizer at the same time.

    Symptom: the rate falls faster than planned, or jumps.

    By hand: print `optimizer.param_groups[0]["lr"]` after each `scheduler.step()`.

    Repair: one scheduler; `SequentialLR` where one is to follow another.
    """
    for one, other in combinations(_stepped(seen), 2):
        if one.scheduler.optimizer is not other.scheduler.optimizer or {one.name, other.name} & WARM_UP - SET_OUTRIGHT:
            continue
        together = _epochs(one) & _epochs(other)
        if (len(together) < 2 and min(len(one.steps), len(other.steps)) < 4) or not together:
            continue
        twice = one.name == other.name and _settings(one) == _settings(other)
        outright = {one.name, other.name} & SET_OUTRIGHT
        what = f"{one.name} and {other.name}"
        yield Symptom(
            f"{what} both change the rate of one optimizer.",
            f"In {len(together)} epochs both stepped ({len(one.steps)} and {len(other.steps)} times). "
            + (f"{min(outright)} sets the rate outright and undoes what the other did." if outright else "")
            + ("They are the same schedule twice." if twice and not outright else "")
            + ("" if twice or outright else "Their effects multiply."),
            "scheduler = SequentialLR(optimizer, [warm_up, decay], milestones=[warm_up_epochs])  # or one of the two",
            severity=None if twice or {one.name, other.name} & WHOLE else "note",
        )


def _stepped(seen: Watch) -> list[SchedulerRecord]:
    """The schedulers that stepped.

    Raises:
        CannotTell: if there are none.
    """
    records = [record for record in seen.schedulers.of_model() if record.steps]
    if not records:
        raise CannotTell("no scheduler of the model's optimizer stepped inside the block")
    return records


def _counts_epochs(seen: Watch, record: SchedulerRecord, batches: int) -> tuple[str, bool]:
    """Why a scheduler that steps with every batch counts epochs, and whether that is sure."""
    scheduler = record.scheduler
    if record.name == "ReduceLROnPlateau":
        return f"patience={scheduler.patience} counts batches, and the loss of single batches is no plateau", True
    setting, horizon = _horizon(scheduler)
    reached = record.began_at + len(record.steps)
    if setting and horizon < 0.9 * batches:
        return f"{setting}={horizon} was over after {horizon} batches of the first epoch", True
    if setting == "T_max" and reached > horizon + 1:
        return f"{setting}={horizon} was over after {horizon / batches:.1f} epochs, and the rate rises again", True
    if record.name == "ExponentialLR" and scheduler.gamma <= FAST:
        factor = scheduler.gamma**batches
        return f"gamma={scheduler.gamma} makes the rate {factor:.2g} of what it was in each epoch", True
    if gone := _rate_gone(seen, record):
        return gone, True
    if setting and horizon % batches and horizon <= MOST_EPOCHS and record.name != "OneCycleLR":
        return (
            f"{setting}={horizon} batches are {horizon / batches:.1f} epochs; were epochs meant?",
            False,
        )
    return "", False


def _rate_gone(seen: Watch, record: SchedulerRecord) -> str:
    rates = _rates_by_epoch(seen, record)
    later = [rate for rate in rates[1:] if rate < GONE]
    if later and len(rates) >= 2 and record.name not in ("OneCycleLR",) and not _horizon(record.scheduler)[0]:
        return f"after the first epoch the rate was {later[0]:.1g} of its highest value"
    return ""


def _counts_batches(seen: Watch, record: SchedulerRecord, batches: int) -> tuple[str, bool]:
    """Why a scheduler that steps once per epoch counts batches, and whether that is sure."""
    setting, horizon = _horizon(record.scheduler)
    if setting and batches >= 2 and horizon >= 2 * batches and horizon % batches == 0:
        round_number = horizon % 10 == 0 and horizon <= MOST_EPOCHS and record.name != "OneCycleLR"
        return f"{setting}={horizon} is {horizon // batches} times the {batches} batches of an epoch", not round_number
    if setting and horizon > MOST_EPOCHS and horizon >= batches:
        return f"{setting}={horizon} would take {horizon} epochs", True
    if record.name == "LambdaLR" and (first := _share_of_base(seen, record)) < GONE:
        return f"the whole first epoch had {first:.2g} of the optimizer's rate", True
    return "", False


def _horizon(scheduler: Any) -> tuple[str, int]:
    """The setting that says how long a schedule lasts, or when the rate first falls, and its value."""
    if type(scheduler).__name__ in WARM_UP:
        return "", 0
    if type(scheduler).__name__ == "LambdaLR":
        end = _zero_of(scheduler.lr_lambdas[0])
        return ("end of lr_lambda" if end else ""), end
    if type(scheduler).__name__ == "SequentialLR":
        return next((found for found in map(_horizon, scheduler._schedulers[::-1]) if found[0]), ("", 0))
    if getattr(scheduler, "milestones", None):
        return "milestones[-1]", max(scheduler.milestones)
    for name in ("T_max", "total_steps", "step_size", "total_iters"):
        if isinstance(getattr(scheduler, name, None), int) and type(scheduler).__name__ != "CyclicLR":
            return name, getattr(scheduler, name)
    return "", 0


def _zero_of(function: Callable[[int], float]) -> int:
    """The first step at which a rate's factor is zero; 0 where it never is."""
    try:
        end = next((step for step in range(1, LONGEST) if function(step) <= 0), 0)
        return end if end and function(end - 1) > 1e-9 else 0  # not a power that is too small to be told from zero
    except Exception:  # the loop's own function
        return 0


def _rates_by_epoch(seen: Watch, record: SchedulerRecord) -> list[float]:
    """The mean rate of each epoch as a fraction of the highest rate in the block."""
    optimizer = seen.gradients.optimizers[id(unwrapped(record.scheduler.optimizer))]
    by_epoch: dict[int, list[float]] = {}
    for source, rate in optimizer.rates:
        by_epoch.setdefault(source.epoch if source else 0, []).append(rate)
    highest = max((rate for _, rate in optimizer.rates), default=0.0) or 1.0
    return [sum(rates) / len(rates) / highest for rates in by_epoch.values()]


def _share_of_base(seen: Watch, record: SchedulerRecord) -> float:
    optimizer = seen.gradients.optimizers[id(unwrapped(record.scheduler.optimizer))]
    base = sum(float(rate) for rate in record.scheduler.base_lrs)
    rates = [rate for source, rate in optimizer.rates if source is optimizer.rates[0][0]]
    return sum(rates) / len(rates) / base if rates and base else 1.0


def _epochs(record: SchedulerRecord) -> set[int]:
    return {step.source.epoch for step in record.steps if step.source is not None}


def _settings(record: SchedulerRecord) -> dict[str, Any]:
    ever_changing = {"optimizer", "last_epoch", "best", "num_bad_epochs", "base_lrs"}
    return {k: v for k, v in vars(record.scheduler).items() if not k.startswith("_") and k not in ever_changing}
