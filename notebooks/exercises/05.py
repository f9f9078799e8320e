"""What the exercises ask in lesson 5: gradual unfreezing."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.models import resnet18

from course.exercises import Exercise, Passed, WrongKind, function, instance, number, word
from helpers.data.load import load_task
from helpers.data.loaders import Loaders, make_loaders
from helpers.data.tasks import Task
from helpers.models.backbones import load_backbone
from helpers.models.heads import replace_head
from helpers.models.stages import head
from helpers.training.evaluation import evaluate
from helpers.training.fit import fit
from helpers.training.loop import Settings
from helpers.training.strategies import Phase

MOST, WANTED = 50_000, 0.88
"""Of the open exercise: the most parameters to train beside the head, and the validation accuracy that is asked for."""


def _changed(answer: Any) -> str | None:
    given, right = number(answer), 256 * 10 + 10
    layer4 = 2_099_712
    known = {
        layer4: "those get gradients, but the optimizer was made before: it does not hold them.",
        layer4 + right: "layer4 gets gradients, but the optimizer does not hold it. Count what the optimizer holds.",
        0: "the head is still in the optimizer, and still gets gradients.",
        256 * 10: "the head has 10 biases as well.",
        10: "those are the biases; the head has weights, too.",
        2_796_576: "that is the whole backbone; most of it is frozen.",
        2_799_146: "that is the whole network; most of it is frozen.",
        256 * 1000 + 1000: "that is the old head, for 1,000 classes; the new one has 10.",
        2: "two tensors, yes: how many numbers do they hold?",
    }
    if given == right:
        return None
    size = "too many" if given > right else "too few"
    return known.get(given, f"{given:,.0f} is {size}. A step changes what the optimizer holds and what has a gradient.")


def _two_stages() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A ResNet-18 whose head has been trained for two steps by SGD with momentum; everything else is frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = resnet18(num_classes=4).requires_grad_(False)
        model.fc.requires_grad_(True)
        optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            model.fc(torch.rand(8, 512)).square().mean().backward()
            optimizer.step()
    return model, optimizer


def _adds_a_group(answer: Any) -> str | None:
    model, optimizer = _two_stages()
    momentum = [optimizer.state[parameter]["momentum_buffer"].clone() for parameter in model.fc.parameters()]
    frozen = {name for name, p in model.named_parameters() if not name.startswith(("layer4", "fc"))}
    try:
        function(answer, model, optimizer, 0.01)
    except ValueError as error:
        if "more than one parameter group" in str(error):
            return f"PyTorch says: {error}. The head is in the optimizer already; add layer4 alone."
        raise
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    still = [name for name, _ in model.named_parameters() if name.startswith("layer4") and name not in trainable]
    if still:
        return f"{still[0]} is still frozen: a module's parameters are unfrozen by `module.requires_grad_(True)`."
    if trainable & frozen:
        return f"{sorted(trainable & frozen)[0]} is unfrozen, too: unfreeze layer4 and leave the rest."
    if not all(f"fc.{name}" in trainable for name, _ in model.fc.named_parameters()):
        return "the head is frozen now; it goes on learning."
    return _holds_both(model, optimizer, momentum)


def _holds_both(model: nn.Module, optimizer: torch.optim.Optimizer, momentum: list[Tensor]) -> str | None:
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    layer4, fc = list(model.layer4.parameters()), list(model.fc.parameters())
    missing = [parameter for parameter in layer4 if id(parameter) not in rates]
    if missing:
        return (
            f"{len(missing)} of {len(layer4)} parameters of layer4 are not in the optimizer that was given, so they "
            "never change: `optimizer.add_param_group`."
        )
    if any(id(parameter) not in rates for parameter in fc):
        return "the head is no longer in the optimizer; add a group, and leave the others."
    if len(rates) > len(layer4) + len(fc):
        return "the optimizer holds parameters of other stages, too; give it those of layer4."
    if any(rates[id(parameter)] != 0.1 for parameter in fc):
        return "the rate of the head has changed; only the new group has the new rate."
    wrong = next((rates[id(parameter)] for parameter in layer4 if rates[id(parameter)] != 0.01), None)
    if wrong is not None:
        return f'layer4 has the rate {wrong:g}, and 0.01 was asked for: a group takes `"lr"` beside `"params"`.'
    kept = [optimizer.state[parameter].get("momentum_buffer") for parameter in fc]
    if any(now is None or not torch.equal(now, before) for now, before in zip(kept, momentum, strict=True)):
        return "the head has lost its momentum; keep the optimizer and its state."
    return None


def _lora_parameters(answer: Any) -> str | None:
    given, right = number(answer), 4 * 128 * 9 + 256 * 4
    known = {
        256 * 128 * 9: "that is the convolution itself; LoRA leaves it frozen.",
        256 * 128 * 9 + right: "the convolution itself is frozen; count the two new layers alone.",
        4 * 128 * 9: "that is the first of the two; the second goes from 4 channels to 256.",
        256 * 4: "that is the second of the two; the first goes from 128 channels to 4.",
        4 * 128 + 256 * 4: "the first of the two is a 3 × 3 convolution: nine weights for each pair of channels.",
        (4 * 128 + 256 * 4) * 9: "the second of the two is a 1 × 1 convolution: one weight for each pair of channels.",
        right + 4 + 256: "neither layer has biases.",
        right + 256: "neither layer has biases.",
        4 * 256 * 9 + 128 * 4: "in and out are swapped: the first layer reads 128 channels, the second writes 256.",
        128 * 256 * 4: "the two are small one after the other: add their weights, do not multiply them.",
        right / 1000: "write the whole number, not thousands.",
    }
    if given == right:
        return None
    size = "too many" if given > right else "too few"
    general = f"{given:,.0f} is {size}. First 128 to 4 channels by 3 × 3, then 4 to 256 channels by 1 × 1; add the two."
    return known.get(given, general)


class _LoRA(nn.Module):
    """The layer of the lesson, with a second matrix that is no longer zero."""

    def __init__(self, conv: nn.Conv2d, rank: int) -> None:
        super().__init__()
        self.conv = conv
        self.down = nn.Conv2d(
            conv.in_channels, rank, conv.kernel_size, conv.stride, conv.padding, dilation=conv.dilation, bias=False
        )
        self.up = nn.Conv2d(rank, conv.out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.up(self.down(x))


def _merges(answer: Any) -> str | None:
    generator = torch.Generator().manual_seed(0)
    for kernel, stride, padding, bias in ((3, 2, 1, True), (1, 1, 0, False), (5, 1, 2, False)):
        layer = _LoRA(nn.Conv2d(6, 8, kernel, stride, padding, bias=bias), rank=2).requires_grad_(False)
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        images = torch.randn(2, 6, 9, 9, generator=generator)
        before, wanted = layer.conv.weight.clone(), layer(images)
        merged = instance(function(answer, layer), nn.Module)
        if not isinstance(merged, nn.Conv2d):
            return f"your function returns a {type(merged).__name__}; a single `nn.Conv2d` is asked for."
        if merged.weight.shape != before.shape:
            return (
                f"its weight is {tuple(merged.weight.shape)}; that of the frozen convolution is {tuple(before.shape)}."
            )
        if not torch.equal(layer.conv.weight, before):
            return "the frozen convolution has changed, so the layer would add the update twice; work on a copy."
        problem = _same_outputs(layer, merged, images, wanted)
        if problem:
            return f"{problem} ({kernel} × {kernel}, stride {stride})"
    return None


@torch.no_grad()
def _same_outputs(layer: _LoRA, merged: nn.Conv2d, images: Tensor, wanted: Tensor) -> str | None:
    given = merged(images)
    if given.shape != wanted.shape:
        return f"its outputs are {tuple(given.shape)}, not {tuple(wanted.shape)}: keep stride and padding."
    if torch.allclose(given, wanted, atol=1e-3):
        return None
    if torch.allclose(given, layer.conv(images), atol=1e-3):
        return "this is the frozen convolution without the update."
    if torch.allclose(given, wanted - layer.conv(images), atol=1e-3):
        return "this is the update without the frozen convolution."
    update = wanted - layer.conv(images)
    if torch.allclose(given, wanted - 2 * update, atol=1e-3):
        return "the update is subtracted; the layer adds it."
    if layer.conv.bias is not None and torch.allclose(merged.weight, _merged_weight(layer), atol=1e-4):
        return "the weight is right, the bias is not: the new convolution keeps that of the frozen one."
    return "its outputs differ: the update is the product of `up` (out, rank) and `down` (rank, in · k · k)."


def _merged_weight(layer: _LoRA) -> Tensor:
    update = layer.up.weight.flatten(1) @ layer.down.weight.flatten(1)
    return layer.conv.weight + update.view_as(layer.conv.weight)


_NOISE = np.array([0.00, 0.06, -0.05, 0.03, -0.04])
_CASES = (
    (
        "two that rise and fall together, two points apart",
        {"best": 0.80 + _NOISE, "cheap": 0.78 + _NOISE + np.array([0.002, 0, -0.002, 0, 0])},
        {"best": 9.0, "cheap": 1.0},
        "best",
        "they differ by two points with every seed: that is distinguishable. Compare seed by seed: `compare(a, b)`.",
    ),
    (
        "two means a point apart, seeds far apart",
        {"best": 0.80 + _NOISE, "cheap": 0.79 - _NOISE},
        {"best": 9.0, "cheap": 1.0},
        "cheap",
        "the interval of the difference contains zero, so the cheaper one is the advice.",
    ),
    (
        "a cheap one that is clearly worse",
        {"cheap": 0.50 + _NOISE / 9, "middle": 0.79 - _NOISE, "best": 0.80 + _NOISE},
        {"cheap": 1.0, "middle": 5.0, "best": 9.0},
        "middle",
        "the cheapest of all is far behind; the cheapest *of those not distinguishable from the best* is asked for.",
    ),
    (
        "the best is also the cheapest",
        {"dear": 0.79 - _NOISE, "best": 0.80 + _NOISE},
        {"dear": 9.0, "best": 1.0},
        "best",
        "the best is among its equals, and here it costs least.",
    ),
)


def _advises(answer: Any) -> str | None:
    for title, accuracies, cost, right, reason in _CASES:
        given = function(answer, {name: list(values) for name, values in accuracies.items()}, dict(cost))
        if not isinstance(given, str):
            raise WrongKind(f"your function returns a {type(given).__name__}, not the name of a strategy")
        if given not in accuracies:
            return f"{given!r} is none of the strategies that were given ({', '.join(accuracies)})."
        if given != right:
            return f"{title}: you say {word(given)!r}, and {right!r} is right; {reason}"
    return None


@cache
def _slides() -> Task:
    return load_task("slides", train_per_class=20, val_per_class=100, seed=41)


def _loaders(model: nn.Module) -> Loaders:
    """New ones each time, so that the order of the images is the same for every answer."""
    return make_loaders(_slides(), model.preprocessing, batch_size=10, augment=None)


@cache
def _head_trained() -> nn.Module:
    """The embedded backbone with a head that was trained on the slides, as in the lesson."""
    model = replace_head(load_backbone("embedded"), 4)
    settings = Settings(augment=None, label_smoothing=0.0, precision="fp32", keep_best=False)
    phases = [Phase("head", 3e-3, 18)]
    fit(model, _slides(), phases, settings, loaders=_loaders(model), verbose=False, doctor=False)
    return model


def trained_choice(choose: Callable[[nn.Module], Any], epochs: int = 6) -> nn.Module:
    """The embedded backbone after training the chosen parameters on slides, with a head that was trained before.

    Args:
        choose: from the embedded backbone to a list of its parameters.
        epochs: of eight steps each.

    Raises:
        WrongKind: if something else is chosen.
    """
    model = deepcopy(_head_trained()).requires_grad_(False)
    batches = _loaders(model).train
    groups = [{"params": list(head(model).parameters()), "lr": 3e-4}]
    chosen = _chosen(choose, model)
    groups += [{"params": chosen, "lr": 3e-3}] if chosen else []
    model.requires_grad_(False)
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(groups)
    scheduler = OneCycleLR(optimizer, [group["lr"] for group in groups], total_steps=epochs * len(batches))
    model.eval()
    for images, labels in (batch for _ in range(epochs) for batch in batches):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return model


def _chosen(choose: Callable[[nn.Module], Any], model: nn.Module) -> list[nn.Parameter]:
    given = function(choose, model)
    if isinstance(given, nn.Module) or not hasattr(given, "__iter__") or isinstance(given, Tensor):
        raise WrongKind(f"your function returns a {type(given).__name__}")
    given, inside = list(given), {id(parameter) for parameter in head(model).parameters()}
    body = {id(parameter) for parameter in model.parameters()} - inside
    if any(not isinstance(each, nn.Parameter) for each in given):
        wrong = next(each for each in given if not isinstance(each, nn.Parameter))
        raise WrongKind(f"your list holds a {type(wrong).__name__}")
    return list({id(each): each for each in given if id(each) in body}.values())


def _choice(answer: Any) -> str | Passed | None:
    model = replace_head(load_backbone("embedded"), 4)
    chosen = _chosen(answer, model)
    count = sum(parameter.numel() for parameter in chosen)
    if not chosen:
        return "nothing before the head of the given model is in your list, and the head alone does not get there."
    if count > MOST:
        return f"{count:,} parameters beside the head, and at most {MOST:,} are allowed. Choose smaller ones."
    trained, loaders = trained_choice(answer), _loaders(model)
    val = evaluate(trained, loaders.val).accuracy
    if val >= WANTED:
        test = evaluate(trained, loaders.test).accuracy
        return Passed(f"{count:,} parameters beside the head; validation {val:.1%}; test {test:.1%}.")
    return (
        f"{count:,} parameters beside the head reach {val:.1%} of the validation slides, and {WANTED:.0%} are wanted. "
        "Slides look unlike anything that the network has seen: which stages meet what is new in them first?"
    )


EXERCISES = {
    "05.1": Exercise(
        _changed,
        "a number of parameters",
        "The optimizer holds the head alone: 256 · 10 weights and 10 biases. Gradients of layer4 are computed in vain.",
        (
            "A step changes a parameter that has a gradient *and* is in the optimizer.",
            "The optimizer was made in step 1. What did it get?",
        ),
    ),
    "05.2": Exercise(
        _adds_a_group,
        "a function of a model, an optimizer and a rate",
        "layer4 is trainable, in a group of its own with its own rate, and the head keeps its momentum.",
        (
            "Two things: `requires_grad_(True)` for layer4, and a new group in the optimizer.",
            '`optimizer.add_param_group({"params": ..., "lr": ...})` takes a group as a dictionary.',
        ),
    ),
    "05.3": Exercise(
        _lora_parameters,
        "a number of parameters",
        "4 · 128 · 9 + 256 · 4: under 2 % of the 294,912 weights of the convolution itself.",
        (
            "`down` is a 3 × 3 convolution from 128 channels to 4, without bias.",
            "`up` is a 1 × 1 convolution from 4 channels to 256, without bias. Add the two.",
        ),
    ),
    "05.4": Exercise(
        _merges,
        "a function from a LoRA layer to a convolution",
        "One plain convolution gives the same outputs: after training, LoRA costs nothing.",
        (
            "Begin with a copy of `layer.conv`, so that stride, padding and bias stay.",
            "`up` is a matrix (out, rank), `down` one of (rank, in · k · k): `flatten(1)` both, and multiply.",
            "Give the product the shape of the weight (`view_as`) and add it.",
        ),
    ),
    "05.5": Exercise(
        _advises,
        "a function of accuracies and costs",
        "The best and its equals, and the cheapest of these: the rule behind the table of this lesson.",
        (
            "Find the name with the highest mean first.",
            "`compare(results[best], results[name]).verdict` says whether the two are distinguishable.",
            "Of the names that are not, return `min(equal, key=cost.get)`.",
        ),
    ),
    "05.6": Exercise(
        _choice,
        "a function from a model to a list of its parameters",
        "A small part of the network, well chosen, gets there.",
        (
            "`model.named_parameters()` gives names and parameters, `parameter.numel()` their sizes. Which are small?",
            "BatchNorm has two numbers per channel; all of them together leave room for more.",
            "Stages near the stem are small. What did surgical fine-tuning do on the slides?",
        ),
    ),
}
