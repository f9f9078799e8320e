"""Learning rates: how high, and where they are highest."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import median

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.rate_comparison import RateComparison, compare_rates, late
from transfer_doctor.trial_steps import TrialSteps, all_trial_steps, peak_rates, take_trial_steps, warms_up

RISES = 1.5  # times the first loss: on the very images it learns from, a healthy rate lets the loss fall
OTHER_CAUSES = (  # with any of these the trial steps say nothing about the rate
    "foreign-parameters",
    "labels-from-one",
    "labels-out-of-range",
    "loss-expects-log-probabilities",
    "loss-raises",
    "module-raises",
    "images-not-finite",
    "pixels-0-255",
    "softmax-before-loss",
    "softmax-over-batch",
    "loss-labels-mismatch",
    "weight-decay-too-high",
    "half-precision-weights",
    "weights-loaded-in-part",
    "weights-look-random",
    "weights-not-loaded",
)
WORSE, MUCH_WORSE = 1.0, 2.5  # nats of loss above guessing, on images that the steps did not learn from
HUGE, MUCH, SOME, DOUBTFUL, HARMLESS = 0.1, 0.05, 0.02, 0.01, 0.002  # fraction of a layer that one step changes


@check("error", needs=("model", "optimizer", "train_loader"), unless=OTHER_CAUSES)
def rate_too_high(case: Case) -> Symptom | None:
    """The learning rate is too high for pretrained layers.

    Symptom: the loss rises or swings at first, then falls slowly; the result is no better than from scratch; at worst
    all images get one class.

    By hand: print the loss of the first twenty batches; repeat with a tenth of the rate.

    Repair: a tenth of the rate for the pretrained layers, or train the head first.
    """
    body = _pretrained_layers_that_learn(case)
    trial = all_trial_steps(case)
    weights = {name for layer in body for name, p in layer.parameters.items() if p is layer.weight}
    if not body:
        if all(math.isfinite(loss) for loss in trial.losses) and trial.rise < 1000:
            return None
        return _symptom(case, trial, [case.head], "The learning rate makes the loss explode.", "error")
    change = median(trial.changes.get(name, 0.0) for name in weights)
    if change > HUGE:
        return _symptom(case, trial, body, f"Each step changes the pretrained layers by {change:.0%}.", "error")
    worse = trial.worse_than_guessing(case.outputs.shape[-1])
    if trial.rise > 1.25 or worse > WORSE:
        whole = {name for layer in body for name in layer.parameters}
        head_only = take_trial_steps(case, {name for name, p in case.model.named_parameters() if name not in whole})
        verdict = "The learning rate is too high for the pretrained layers: "
        if trial.rise > 1.25 and (trial.rise > 1.5 * head_only.rise or head_only.rise < 1.25):
            severity = "error" if trial.rise > RISES else "warning"
            return _symptom(case, trial, body, verdict + "the loss rises on what it learns from.", severity)
        if worse > max(WORSE, head_only.worse_than_guessing(case.outputs.shape[-1]) + WORSE / 2):
            severity = "error" if worse > MUCH_WORSE else "warning"
            return _symptom(case, trial, body, verdict + "other images are then told worse than by guessing.", severity)
    built_up = change * _build_up(case)
    if built_up > HARMLESS:
        learning = [p for layer in body for p in layer.parameters.values()]
        slower = compare_rates(case, learning, all_steps=built_up > DOUBTFUL)
        if slower is not None and slower.slower_is_better:
            return _slower_is_better(case, trial, body, slower)
    if change > SOME:
        verdict = f"Each step may change the pretrained layers by {change:.1%}: a few steps can undo pretraining."
        return _symptom(case, trial, body, verdict, "warning" if change > MUCH else "note")
    return None


@check("warning", needs=("model", "optimizer"))
def rates_rise_toward_stem(case: Case) -> Symptom | None:
    """Layers near the stem learn faster than layers near the head.

    Symptom: fine-tuning is worse than with one small rate for all layers.

    By hand: `for group in optimizer.param_groups: print(group["lr"], len(group["params"]))`, from stem to head.

    Repair: turn the list of rates round.
    """
    rates = {
        id(p): rate
        for group, rate in zip(case.optimizer.param_groups, peak_rates(case), strict=True)
        for p in group["params"]
    }
    learning = [
        (layer, rates[id(layer.weight)])
        for layer in case.layers
        if layer.weight is not None and layer.weight.requires_grad and id(layer.weight) in rates
    ]
    falls = [(a, b) for a, b in pairwise(learning) if a[1] > 1.01 * b[1]]
    if not falls:
        return None
    (early, fast), (late, slow) = falls[-1]
    first, last = learning[0], learning[-1]
    if last[1] >= max(rate for _, rate in learning):
        return None  # a bump within the body; the head is still the fastest
    return Symptom(
        f"{in_python(early.name)} learns {fast / slow:.3g} times as fast as {in_python(late.name)}, which is nearer to "
        "the head.",
        f"Highest rates from stem to head: {in_python(first[0].name)} {first[1]:g}, {in_python(early.name)} {fast:g}, "
        f"{in_python(late.name)} {slow:g}, {in_python(last[0].name)} {last[1]:g}. Early layers are general and need "
        "the smallest rates; the head is new and needs the largest.",
        "\n".join(
            [
                f"head = list({in_python(last[0].name)}.parameters())",
                "body = [p for p in model.parameters() if all(p is not q for q in head)]",
                f"optimizer = torch.optim.{case.optimizer_name}([{{'params': body, 'lr': {slow:g}}}, "
                f"{{'params': head, 'lr': {fast:g}}}])",
            ]
        ),
    )


def _pretrained_layers_that_learn(case: Case) -> list[Layer]:
    held = {id(p) for group in case.optimizer.param_groups for p in group["params"]}
    learning = [
        layer
        for layer in case.layers
        if layer.weight is not None and layer.weight.requires_grad and id(layer.weight) in held
    ]
    body = [layer for layer in learning if layer in case.pretrained]
    if any(layer is not case.head for layer in learning) and (case.weights is False or not body):
        raise CannotTell("the layers that learn are not pretrained")
    return body


def _build_up(case: Case) -> float:
    """How many times longer steps become when momentum adds them up."""
    most = max(float(group.get("momentum", 0.0)) for group in case.optimizer.param_groups)
    return 1 / max(0.01, 1 - most)


def _slower_is_better(case: Case, trial: TrialSteps, layers: list[Layer], slower: RateComparison) -> Symptom:
    size = f", made smaller to {slower.size} pixels" if slower.size else ""
    ends = [f"{losses[0]:.3g} -> {late(losses):.3g}" for losses in (slower.as_set, slower.a_tenth)]
    symptom = _symptom(
        case,
        trial,
        layers,
        "The learning rate is too high for the pretrained layers: "
        + ("soon all images get the same answer." if slower.collapsed else "a tenth of it learns far better."),
        "error" if slower.learned_nothing and not slower.size else "warning",
    )
    told = (
        f" On copies, {len(slower.as_set)} steps with {slower.images} images each{size}: loss {ends[0]}; with a "
        f"tenth of the rate {ends[1]} in {len(slower.a_tenth)} steps."
    )
    return replace(symptom, evidence=symptom.evidence + told)


def _symptom(case: Case, trial: TrialSteps, layers: list[Layer], verdict: str, severity: str) -> Symptom:
    rates = peak_rates(case)
    stages: dict[str, list[float]] = {}
    for layer in layers:
        for name, p in layer.parameters.items():
            if p is layer.weight and name in trial.changes:
                stages.setdefault(".".join(name.split(".")[: 2 if name.startswith("features") else 1]), []).append(
                    trial.changes[name]
                )
    fractions = ", ".join(f"{stage} {median(values):.2%}" for stage, values in list(stages.items())[:8])
    losses = " -> ".join(f"{loss:.3g}" for loss in trial.losses)
    others = f", on other images {trial.others[0]:.3g} -> {trial.others[-1]:.3g}" if trial.others else ""
    how = "rising step by step to the schedule's peak of" if warms_up(case) else "at"
    optimizer = case.optimizer_name
    body = min(rates) / 10
    return Symptom(
        verdict,
        f"On a copy, {len(trial.losses) - 1} {optimizer} steps on the same {min(16, len(case.batch[0]))} images "
        f"{how} {max(rates):g}: loss {losses}{others}. The first step changed the weights by: {fractions}.",
        f"for group in optimizer.param_groups:\n    group['lr'] = {body:g}  # and a larger one for the new head alone",
        severity=severity,
    )
