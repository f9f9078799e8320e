"""What the exercises ask in lesson 4: discriminative learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torchvision.models import resnet18

from course.exercises import Exercise, Passed, WrongKind, function, instance, number
from helpers.data.load import load_task
from helpers.data.loaders import Loaders, make_loaders
from helpers.data.tasks import Task
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import freeze_batchnorm_statistics, stages
from helpers.training.evaluation import evaluate

WANTED = 0.70
"""Validation accuracy on the drawn slides that the open exercise asks for."""
STEPS, BATCH_SIZE = 30, 8
WANTED_RATES = {"conv1": 1e-5, "bn1": 1e-5, "layer1": 1e-5, "layer2": 1e-5, "layer3": 1e-4, "layer4": 1e-4, "fc": 1e-3}
EPOCHS, BATCHES, PEAKS = 5, 8, (1e-4, 1e-3)


def _stem_rate(answer: Any) -> str | None:
    given, rate = number(answer), 8e-4
    known = {
        rate / 2**6: "one factor too many: the head itself has the full rate, and the stem is five stages below it.",
        rate / 2**4: "that is layer1, four stages below the head; the stem is one further.",
        rate / 2**3: "that is layer2, three stages below the head.",
        rate / 2: "that is layer4, one stage below the head: each further stage halves the rate once more.",
        rate: "that is the head's own rate.",
        rate / 10: "the factors are multiplied, five times 0.5, not added up: dividing by 5 · 2 is another thing.",
        rate * 0.5 * 5: "five times 0.5 are multiplied with each other: 0.5 ** 5.",
        rate * 2**5: "that is higher than the head's rate: the rates fall toward the stem.",
        0.5**5: "that is the factor; multiply the head's rate by it.",
        rate * 1e5 / 2**5: "check the power of ten: the head's rate is 0.0008.",
    }
    for value, reason in known.items():
        if math.isclose(given, value, rel_tol=1e-6):
            return reason
    if math.isclose(given, rate / 2**5, rel_tol=1e-3):
        return None
    if given <= 0:
        return "a rate is a positive number."
    direction = "too high" if given > rate / 2**5 else "too low"
    return f"{given:g} is {direction}. From fc to the stem there are five steps; each multiplies the rate by 0.5."


def _network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet18(num_classes=4)


def _in_groups(answer: Any, model: nn.Module) -> list[dict[str, Any]]:
    """What the learner's function returns, as an optimizer's groups whose parameters are lists of parameters."""
    groups = function(answer, model)
    if isinstance(groups, torch.optim.Optimizer):
        groups = groups.param_groups
    if not isinstance(groups, (list, tuple)) or not all(isinstance(group, Mapping) for group in groups):
        raise WrongKind(f"your function returns a {type(groups).__name__} that is no list of dictionaries")
    found = []
    for group in groups:
        if "params" not in group:
            raise WrongKind("a group has no 'params'")
        given = group["params"]
        given = [given] if isinstance(given, nn.Parameter) else list(given)
        if not all(isinstance(parameter, nn.Parameter) for parameter in given):
            raise WrongKind(f"'params' of a group holds {type(given[0]).__name__}s, not parameters")
        found.append({**group, "params": given})
    return found


def _each_once(groups: list[dict[str, Any]], model: nn.Module) -> str | None:
    held = [id(parameter) for group in groups for parameter in group["params"]]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if strangers := [one for one in held if one not in names]:
        return f"{len(strangers)} parameters in your groups are not this model's: use the model that is passed in."
    if missing := [name for one, name in names.items() if one not in held]:
        return f"{len(missing)} parameters are in no group, so they never learn: `{missing[0]}` is the first."
    if twice := [names[one] for one in names if held.count(one) > 1]:
        return f"`{twice[0]}` is in two groups; an optimizer refuses that. Each parameter belongs to one group."
    return None


def _three_groups(answer: Any) -> str | None:
    model = _network()
    groups = _in_groups(answer, model)
    if problem := _each_once(groups, model):
        return problem
    if without := [group for group in groups if "lr" not in group]:
        return f"{len(without)} of your groups have no 'lr', so they get the optimizer's default rate."
    rates = {id(parameter): number(group["lr"]) for group in groups for parameter in group["params"]}
    if len(set(rates.values())) == 1:
        return f"all parameters get the same rate, {next(iter(rates.values())):g}."
    for name, parameter in model.named_parameters():
        wanted, given = WANTED_RATES[name.split(".")[0]], rates[id(parameter)]
        if not math.isclose(wanted, given, rel_tol=1e-6):
            return f"`{name}` gets the rate {given:g}, and {wanted:g} is asked for."
    return None


def _one_cycle(answer: Any) -> str | None:
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    optimizer = torch.optim.SGD(
        [{"params": layer.parameters(), "lr": rate} for layer, rate in zip(layers, PEAKS, strict=True)], momentum=0.9
    )
    scheduler = instance(function(answer, optimizer, EPOCHS, BATCHES), LRScheduler)
    if scheduler.optimizer is not optimizer:
        return "your scheduler steers another optimizer; use the one that is passed in."
    steps, used = EPOCHS * BATCHES, []
    for _ in range(steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        try:
            scheduler.step()
        except ValueError:
            if len(used) < steps:
                return (
                    f"it ends after {len(used)} steps; {EPOCHS} epochs of {BATCHES} batches are {steps}, and it is "
                    "stepped after every batch."
                )
    return _judged_rates(used)


def _judged_rates(used: list[list[float]]) -> str | None:
    peaks = [max(step[group] for step in used) for group in range(2)]
    highest = [step[1] for step in used].index(peaks[1]) + 1
    if math.isclose(*peaks):
        return f"both groups peak at {peaks[0]:g}: `max_lr` takes a list, one rate for each group."
    if peaks[0] > peaks[1]:
        return f"the groups peak at {peaks[0]:g} and {peaks[1]:g}: that is the wrong way round."
    if not all(math.isclose(peak, own, rel_tol=1e-3) for peak, own in zip(peaks, PEAKS, strict=True)):
        return f"the groups peak at {peaks[0]:g} and {peaks[1]:g}; their own rates were {PEAKS[0]:g} and {PEAKS[1]:g}."
    if highest == 1:
        return "the rate starts at its highest value: a one-cycle schedule rises first."
    if used[-1][1] > PEAKS[1] / 20:
        return (
            f"after {len(used)} steps the rate is still {used[-1][1]:.2g}: the schedule is longer than {EPOCHS} epochs "
            f"of {BATCHES} batches, or does not come down."
        )
    if highest > 6:
        return f"the rate is highest at step {highest} of {len(used)}; with a tenth of them to rise it is step 4."
    return None


def _no_decay(answer: Any) -> str | None:
    model = _network()
    groups = _in_groups(answer, model)
    if problem := _each_once(groups, model):
        return problem
    decay = {id(p): number(group.get("weight_decay", 0.0)) for group in groups for p in group["params"]}
    if not any(decay.values()):
        return "nothing decays: one group needs 'weight_decay': 0.1."
    if all(decay.values()):
        return "everything decays: norms and biases need a group with 'weight_decay': 0."
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        layer, _, kind = name.rpartition(".")
        given, wanted = decay[id(parameter)], 0.1 if parameter.ndim > 1 else 0.0
        if given != wanted:
            what = "bias" if kind == "bias" else "weight"
            return f"the {what} of `{layer}`, a {type(modules[layer]).__name__}, decays by {given:g}, not {wanted:g}."
    return None


@cache
def _slides() -> tuple[Task, Loaders]:
    task = load_task("slides", val_per_class=25, test_per_class=25)
    return task, make_loaders(task, load_backbone("embedded").preprocessing, batch_size=BATCH_SIZE)


def trained_with(rates: Mapping[str, float]) -> nn.Module:
    """The embedded backbone after 30 steps (8 slides each) of AdamW, with the rate of each stage as given."""
    task, loaders = _slides()
    model = replace_head(load_backbone("embedded"), len(task.classes), seed=0)
    freeze_batchnorm_statistics(model)
    groups = [{"params": stage.parameters.values(), "lr": rates[stage.name]} for stage in stages(model)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    peaks = [group["lr"] for group in optimizer.param_groups]
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peaks, total_steps=STEPS, pct_start=0.1)
    loaders.train.sampler.epoch = 0
    model.train()
    for images, labels in islice(_endless(loaders.train), STEPS):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def _endless(loader: Iterable) -> Iterable:
    while True:
        yield from loader


def _own_rates(answer: Any) -> str | Passed | None:
    rates = {str(name): number(rate) for name, rate in dict(instance(answer, Mapping)).items()}
    names = [stage.name for stage in stages(load_backbone("embedded"))]
    if unknown := [name for name in rates if name not in names]:
        return f"there is no stage {unknown[0]!r}; the stages are {', '.join(names)}."
    if missing := [name for name in names if name not in rates]:
        return f"there is no rate for {missing[0]!r}; 0 keeps a stage as it is."
    if wrong := [name for name, rate in rates.items() if not 0 <= rate < math.inf]:
        return f"the rate of {wrong[0]!r} is {rates[wrong[0]]:g}; it is a number from 0 on."
    if not any(rates.values()):
        return "with all rates 0, nothing learns."
    if rates["fc"] == 0:
        return "the head is new and has to learn: its rate cannot be 0."
    model = trained_with(rates)
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        return "with these rates the weights became infinite: take a tenth."
    val = evaluate(model, _slides()[1].val).accuracy
    if val >= WANTED:
        return Passed(f"Validation {val:.1%}; test {evaluate(model, _slides()[1].test).accuracy:.1%}.")
    highest = max(rates.values())
    step = "Try higher rates." if highest < 3e-4 else "Try lower rates." if highest > 1e-2 else "Try other stages."
    return f"{val:.1%} of the validation slides after {STEPS} steps, and {WANTED:.0%} are wanted. {step}"


EXERCISES = {
    "04.1": Exercise(
        _stem_rate,
        "a learning rate",
        "The stem is five stages below the head: 0.0008 · 0.5 ** 5, a thirty-second of the head's rate.",
        (
            "The stages are stem, layer1, layer2, layer3, layer4, fc.",
            "The head has the full rate; each stage below it has half the rate of the stage above.",
        ),
    ),
    "04.2": Exercise(
        _three_groups,
        "a function from a model to a list of groups",
        "Three groups, every parameter in exactly one of them, and no default rate is used by accident.",
        (
            "A group is a dictionary: `{'params': [...], 'lr': 1e-5}`.",
            "`conv1` and `bn1` belong to the stem. `[*model.conv1.parameters(), *model.bn1.parameters()]` is a list.",
            "Count: the groups together hold as many parameters as `list(model.parameters())`.",
        ),
    ),
    "04.3": Exercise(
        _one_cycle,
        "a function of an optimizer, epochs and batches that returns a scheduler",
        "Each group rises to its own rate in the first tenth of all steps, and then comes down.",
        (
            "`OneCycleLR` wants `max_lr`, `total_steps` and `pct_start`; it is stepped after every batch.",
            "The groups' own rates: `[group['lr'] for group in optimizer.param_groups]`.",
        ),
    ),
    "04.4": Exercise(
        _no_decay,
        "a function from a model to a list of groups",
        "Weights of convolutions and linear layers decay; norms and biases do not.",
        (
            "The norms inside `downsample` are called `downsample.1`, so names do not find all of them.",
            "Weights of convolutions and linear layers have two or more dimensions; norms and biases have one.",
        ),
    ),
    "04.5": Exercise(
        _own_rates,
        "a dictionary from each stage's name to its rate",
        "On a far target the stages near the stem have to move too; rates that fall toward the head do even better.",
        (
            "Begin with what the sweep found for the slides.",
            "A stage with rate 0 stays as it is. Which stages did lesson 1 find best for the slides?",
        ),
    ),
}
