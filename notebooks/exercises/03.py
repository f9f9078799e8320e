"""What the exercises ask in lesson 3: fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from course.exercises import Exercise, Passed, WrongKind, function, instance, number, word
from drawn import source
from helpers.data.load import load_task
from helpers.data.loaders import make_loaders
from helpers.data.tasks import Split, Task
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import head, stages
from helpers.training.evaluation import evaluate
from helpers.training.fit import fit
from helpers.training.loop import Settings
from helpers.training.strategies import Phase

RATES = {"pretrained": 1e-3, "new": 1e-2}
WANTED, KEPT, EPOCHS = 0.75, 0.85, 8
"""Exercise 5: validation accuracy, the fraction of the source accuracy that is kept, epochs at most."""


def _loaded_epoch(answer: Any) -> str | None:
    given = word(answer) if isinstance(answer, str) else answer
    words = {"best": 5, "last": 8, "first": 1, "eight": 8, "theeighth": 8, "theeighthepoch": 8, "five": 5, "epoch8": 8}
    epoch = words.get(given, given) if isinstance(given, str) else number(given)
    epoch = number(epoch) if isinstance(epoch, str) else epoch
    if epoch == 8:
        return None
    if epoch == 5:
        return "that is what was meant. But `state_dict()` gives the tensors themselves, and training went on in them."
    if epoch == 7:
        return "after epoch 7 there was one more, and it changed the same tensors."
    if epoch == 6:
        return "nothing is copied one epoch later either: `best` always shows the weights as they are now."
    if epoch == 0:
        return "the pretrained weights are gone as well: every step overwrites the same tensors."
    if epoch in (1, 2, 3, 4):
        return f"epoch {epoch:.0f} was neither the best nor the last. Which tensors does `best` hold at the end?"
    return f"{epoch:g} is not one of the epochs; they are counted from 1 to 8."


def _trained_network() -> tuple[nn.Module, Any]:
    """A small network with BatchNorm, and a function that trains it by a step."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
        images = torch.rand(6, 3, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        model.train()(images).square().sum().backward()
        optimizer.step()

    return model, step


def _is_a_copy(answer: Any) -> str | None:
    model, step = _trained_network()
    step()
    wanted = {name: value.clone() for name, value in model.state_dict().items()}
    kept = function(answer, model)
    if isinstance(kept, nn.Module):
        return "this is a whole model; `load_state_dict` takes a dictionary. Copy `model.state_dict()`."
    if not isinstance(kept, dict):
        raise WrongKind(f"your function returns {'nothing' if kept is None else f'a {type(kept).__name__}'}")
    if missing := [name for name in wanted if name not in kept]:
        return f"{len(missing)} entries are missing ({missing[0]} is the first): take all of `model.state_dict()`."
    if any(not isinstance(kept[name], Tensor) for name in wanted):
        return "the values have to be tensors, or `load_state_dict` cannot take them."
    if any(not torch.equal(kept[name], wanted[name]) for name in wanted):
        return "right after the call some values already differ from the model's: copy them as they are."
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step()
    changed = [name for name in wanted if not torch.equal(kept[name], wanted[name])]
    if changed:
        kind = "all" if {"0.weight", "1.running_mean"} <= set(changed) else "some"
        return (
            f"{kind} of your values moved with the next step ({changed[0]} is the first): they are the model's own "
            "tensors. `copy.deepcopy` copies them, and so does `.clone()`."
        )
    model.load_state_dict(kept)
    if any(not torch.equal(value, before[name]) for name, value in model.state_dict().items()):
        return "loading your copy does not bring the weights back."
    step()
    if any(not torch.equal(kept[name], wanted[name]) for name in wanted):
        return "your copy moves once it has been loaded."
    return None


def _two_rates(answer: Any) -> str | None:
    model = replace_head(load_backbone("embedded"), 6)
    optimizer = function(answer, model)
    if isinstance(optimizer, (list, tuple, dict)):
        return "these are parameter groups; give them to an optimizer, `torch.optim.SGD(groups, ...)`."
    instance(optimizer, torch.optim.Optimizer)
    new = {id(parameter): name for name, parameter in head(model).named_parameters()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates: dict[int, list[float]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            rates.setdefault(id(parameter), []).append(float(group["lr"]))
    if any(key not in names for key in rates):
        return "some parameters in the optimizer are not this model's: take them from the model that you are given."
    if any(len(found) > 1 for found in rates.values()):
        return "the head is in two groups, so that each step would move it twice: leave it out of the pretrained ones."
    missing = [name for key, name in names.items() if key not in rates]
    if missing:
        where = "new head" if any(key in new and key not in rates for key in names) else "pretrained part"
        return f"{len(missing)} parameters of the {where} are missing ({missing[0]} is the first)."
    if not all(parameter.requires_grad for parameter in model.parameters()):
        return "some parameters were frozen; here everything is to learn."
    heads = {rate for key, found in rates.items() if key in new for rate in found}
    bodies = {rate for key, found in rates.items() if key not in new for rate in found}
    return _wrong_rates(heads, bodies)


def _wrong_rates(heads: set[float], bodies: set[float]) -> str | None:
    if heads == {RATES["new"]} and bodies == {RATES["pretrained"]}:
        return None
    if heads == {RATES["pretrained"]} and bodies == {RATES["new"]}:
        return "the two rates are swapped: the new head learns fast, the pretrained part slowly."
    if heads == bodies and len(heads) == 1:
        return f"everything learns at {heads.pop():g}; the head should have a rate of its own."
    if bodies != {RATES["pretrained"]}:
        return f"the pretrained part learns at {_listed(bodies)}, and {RATES['pretrained']:g} is wanted."
    return f"the new head learns at {_listed(heads)}, and {RATES['new']:g} is wanted."


def _listed(rates: set[float]) -> str:
    return " and ".join(f"{rate:g}" for rate in sorted(rates))


_MOVES = {"b", "d", "e"}
_WHY = {
    "a": "in (a) the gradient is None from then on, and an optimizer skips such a parameter, momentum and all.",
    "b": "in (b) the gradient is zero, not None. So the optimizer takes a step, and momentum still carries the weight.",
    "c": "in (c) there never was a gradient, and AdamW decays only the parameters that have one.",
    "d": "in (d) the gradient is zero, not None: AdamW's running mean and its weight decay still move the weight.",
    "e": "in (e) nothing clears the old gradient, so each step uses it again.",
    "f": "in (f) there never was a gradient, so SGD does not look at the parameter, weight decay or not.",
}


def _moved(answer: Any) -> str | None:
    each = answer if isinstance(answer, (list, tuple, set, frozenset)) else str(answer).replace(" and ", ",").split(",")
    given = {word(letter).strip("().") for letter in each} - {""}
    if len(given) == 1 and len(only := next(iter(given))) > 1 and set(only) <= set(_WHY):
        given = set(only)
    if strange := sorted(given - set(_WHY)):
        return f"{strange[0]!r} is none of the six; give their letters, such as ['a', 'f']."
    if wrong := sorted(given - _MOVES):
        return f"not all of these move it: {_WHY[wrong[0]]}"
    if missing := sorted(_MOVES - given):
        return f"there {'is one' if len(missing) == 1 else f'are {len(missing)}'} more: {_WHY[missing[0]]}"
    return None


@cache
def _flowers() -> tuple[Task, list[tuple[Tensor, Tensor]], float]:
    """Five species with eight images each, source images in batches, and the source accuracy before training."""
    task = load_task("flowers", classes=5, train_per_class=8, seed=7)
    model = load_backbone("embedded")
    labels = torch.arange(0, len(source.CLASSES), 8)
    images = Split(labels, images=source.draw(labels.tolist(), 64, 10_001))
    batches = list(make_loaders(Task("source", source.CLASSES, images, images), model.preprocessing).val)
    return task, batches, evaluate(model, batches).accuracy


def measure(strategy: Sequence[Phase]) -> tuple[float, float, float]:
    """Train the embedded backbone on forty flowers by a strategy of `fit`.

    Returns:
        Accuracy on validation and test images, and with the old head put back the fraction that is left of the
        source accuracy; 0 to 1.
    """
    task, batches, before = _flowers()
    model = load_backbone("embedded")
    old = head(model)
    replace_head(model, len(task.classes))
    settings = Settings(batch_size=10, augment=None, precision="fp32")
    run = fit(model, task, strategy, settings, verbose=False, doctor=False)
    test = evaluate(model, make_loaders(task, model.preprocessing).test).accuracy
    model.set_submodule(stages(model)[-1].name, old)
    return run.val_accuracy, test, evaluate(model, batches).accuracy / before


def _gentle(answer: Any) -> str | Passed | None:
    if isinstance(answer, Phase):
        return "this is one phase; a strategy is a list of phases, here `[Phase(...)]`."
    if not isinstance(answer, (list, tuple)) or not answer or not all(isinstance(each, Phase) for each in answer):
        raise WrongKind("this is no list of `Phase(...)`")
    names = [stage.name for stage in stages(load_backbone("embedded"))]
    try:
        trained = {name for phase in answer for name in phase.trainable_stages(names)}
        epochs = sum(phase.epochs for phase in answer)
    except HelpersError as error:
        return f"{error}."
    if trained != set(names):
        return f"{', '.join(name for name in names if name not in trained)} never learns; this is about fine-tuning."
    if epochs > EPOCHS:
        return f"{epochs} epochs, and {EPOCHS} are allowed in all."
    try:
        val, test, kept = measure(answer)
    except HelpersError as error:
        return f"`fit` stopped: {error}"
    measured = f"{val:.0%} of the validation images, and {kept:.0%} of the source accuracy is left"
    if kept < KEPT:
        cause = "a lower rate" if not any(phase.update_batchnorm for phase in answer) else "`update_batchnorm=False`"
        return f"{measured}; it forgets too much, and at least {KEPT:.0%} should be left. Try {cause}."
    if val < WANTED:
        return f"{measured}; {WANTED:.0%} are wanted in validation. A new head needs a higher rate: see `head_lr`."
    return Passed(f"Validation {val:.0%}; {kept:.0%} of the source accuracy is left; test {test:.0%}.")


EXERCISES = {
    "03.1": Exercise(
        _loaded_epoch,
        "the number of an epoch",
        "`best` holds the model's own tensors, so it shows the weights as they are now: those of the last epoch.",
        (
            "Does `state_dict()` copy the tensors? Compare `best['fc.weight'].data_ptr()` with the model's.",
            "Every optimizer step changes the tensors in place. What does `best` show after the last one?",
        ),
    ),
    "03.2": Exercise(
        _is_a_copy,
        "a function of a model",
        "All entries, buffers too, and in memory of their own: later steps do not reach them.",
        (
            "`copy.copy` and `dict(...)` make a new dictionary with the old tensors in it.",
            "`copy.deepcopy(model.state_dict())`, or a dictionary with `.clone()` of each value.",
        ),
    ),
    "03.3": Exercise(
        _two_rates,
        "a function from a model to its optimizer",
        "Two groups, each parameter in one of them: the new head fast, the pretrained part gently.",
        (
            "An optimizer takes a list of dictionaries: `[{'params': ..., 'lr': ...}, {'params': ..., 'lr': ...}]`.",
            "`head(model).parameters()` is the new part; the rest are those of `model.named_parameters()` whose name "
            "does not begin with `fc`.",
        ),
    ),
    "03.4": Exercise(
        _moved,
        "a list of letters",
        "A parameter moves as long as its gradient is not None: an old one, or zeros with momentum or decay.",
        (
            "An optimizer skips a parameter whose gradient is None. In which cases is it a tensor?",
            "`zero_grad()` sets gradients to None; `zero_grad(set_to_none=False)` fills them with zeros.",
        ),
    ),
    "03.5": Exercise(
        _gentle,
        "a list of phases",
        "Everything learned, and little was forgotten.",
        (
            "What made the network forget in this lesson: the rate of the pretrained stages, or their BatchNorm?",
            "`Phase` keeps BatchNorm's statistics unless you say `update_batchnorm=True`.",
            "Give the pretrained stages a low `lr` and the head a `head_lr` ten or a hundred times as high.",
        ),
    ),
}
