"""Gradients that never arrive, explode, or are clipped to nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from transfer_doctor.findings import Symptom
from transfer_doctor.watching.checks import check
from transfer_doctor.watching.gradients import OptimizerRecord

if TYPE_CHECKING:
    from transfer_doctor.watching.watcher import Watch

NO_STEP = ("zero-grad-before-step", "backward-missing", "another-model-trained", "step-missing", "gradients-explode")
CLIPPED = 0.01  # of the gradient is left
SMALL = 0.05  # norm of all gradients together
LARGE, GROWTH = 1e3, 100.0


@check("warning", unless=(*NO_STEP, "frozen-weights-moved"))
def stage_without_gradients(seen: Watch) -> Iterator[Symptom]:
    """A stage that is to learn gets no gradients.

    Symptom: unfreezing more of the network changes nothing: the result is that of a trained head alone.

    By hand: after a backward pass, list the parameters whose `grad` is `None` or zero:
    `[n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]`.

    Repair: take away the `torch.no_grad()` or `.detach()` between that stage and the loss; or freeze it honestly.
    """
    seen.stepped()
    measured: dict[str, int] = defaultdict(int)
    learning: set[str] = set()
    for record in seen.gradients.optimizers.values():
        learning |= record.learning
        for name, times in record.measured.items():
            measured[name] += times
    stages = _by_stage(name for name, times in measured.items() if times >= 2)
    for stage, names in stages.items():
        silent = [name for name in names if name not in learning]
        if 2 * len(silent) < len(names) or len(stages) == 1:
            continue
        called = stage.split(".")[0] in seen.calls.called_parts
        yield Symptom(
            f"`{stage}` is trainable and in the optimizer, and its gradients are zero or missing.",
            f"{len(silent)} of its {len(names)} parameters ({silent[0]} the first) had none in any of the "
            f"{measured[silent[0]]} steps that were measured; "
            + ("it was called in the forward pass." if called else "forward never calls it."),
            "features = model.backbone(images)  # without torch.no_grad() and .detach()\n"
            f"# or freeze it: for p in model.{stage}.parameters(): p.requires_grad = False",
            severity=None if called else "note",
        )


@check("error")
def gradients_explode(seen: Watch) -> Symptom | None:
    """Loss or gradients explode.

    Symptom: the loss rises by orders of magnitude, or is NaN from some batch on, and never comes back.

    By hand: print `torch.nn.utils.get_total_norm(p.grad for p in model.parameters() if p.grad is not None)` before each
    step.

    Repair: a smaller rate (ten times), `clip_grad_norm_(..., 1.0)`, warm-up; for half precision a `GradScaler`.
    """
    trained = seen.trained()
    numbers = {call.number for call in trained}
    losses = [(call, value) for call, value in seen.functions.losses if call.number in numbers]
    finite = torch.stack([value.float().cpu() for _, value in losses]).isfinite().tolist() if losses else []
    if not all(finite):
        call, value = losses[finite.index(False)]
        return Symptom(
            "The training loss is not finite.",
            f"At {call} the loss was {float(value)}; the loss before it was "
            f"{float(losses[max(finite.index(False) - 1, 0)][1]):.4g}.{_norms(seen)}",
            _smaller_rate(seen),
        )
    for record in seen.gradients.optimizers.values():
        norms = [norm for _, norm, _ in record.norms]
        start = sorted(norms[:3])[len(norms[:3]) // 2] if norms else 0.0
        for place, norm, _ in record.norms:
            if not math.isfinite(norm) or (norm > LARGE and norm > GROWTH * start):
                return Symptom(
                    "The gradients explode.",
                    f"The norm of all gradients was {start:.3g} in the first steps and {norm:.3g} at {place}.",
                    _smaller_rate(seen),
                )
    return None


@check("warning", unless=NO_STEP)
def gradients_clipped_away(seen: Watch) -> Symptom | None:
    """Clipping leaves next to nothing of the gradients.

    Symptom: the loss hardly moves, whatever the rate; without clipping it would.

    By hand: print what `clip_grad_norm_` returns, the norm before clipping, and compare it with `max_norm`.

    Repair: clip at about the norm of a usual batch, `max_norm=1.0` to `5.0`, so that only rare batches are clipped.
    """
    seen.stepped()
    for record in seen.gradients.optimizers.values():
        clipped = [entry for entry in record.norms if entry[2] < CLIPPED and entry[1] < SMALL]
        if len(clipped) >= 2 and len(clipped) >= 0.6 * len(record.norms):
            place, norm, left = clipped[0]
            return Symptom(
                "Clipping leaves next to nothing of the gradients.",
                f"At {place} the step had {max(left, 1e-12):.1g} of the gradient that backward computed; the norm of "
                f"all gradients was {norm:.2g}. So in {len(clipped)} of the {len(record.norms)} steps measured.",
                "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
            )
    return None


def _by_stage(names: Iterable[str]) -> dict[str, list[str]]:
    """Group parameters by the model's parts: by the first part of the name that is not common to all of them."""
    split = [name.split(".") for name in names]
    depth = 1
    while split and len({tuple(parts[:depth]) for parts in split}) == 1 and depth < min(map(len, split)) - 1:
        depth += 1
    stages = defaultdict(list)
    for parts in split:
        stages[".".join(parts[: min(depth, max(len(parts) - 1, 1))])].append(".".join(parts))
    return stages


def _norms(seen: Watch) -> str:
    records: list[OptimizerRecord] = [r for r in seen.gradients.optimizers.values() if r.norms]
    if not records:
        return ""
    first, last = records[0].norms[0], records[0].norms[-1]
    return f" The norm of the gradients went from {first[1]:.3g} ({first[0]}) to {last[1]:.3g} ({last[0]})."


def _smaller_rate(seen: Watch) -> str:
    rates = sorted({group["lr"] for r in seen.gradients.optimizers.values() for group in r.optimizer.param_groups})
    now = f" (now {', '.join(f'{float(rate):.2g}' for rate in rates[:6])})" if rates else ""
    return f"# lower the learning rate{now}, tenfold to begin with\n" + (
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # before optimizer.step()"
    )
