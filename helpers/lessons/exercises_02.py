"""The exercises of lesson 2: feature extraction."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.data.load import load_task
from helpers.data.loaders import make_loaders
from helpers.lessons.activations import probe, stage_features
from helpers.lessons.exercises import Exercise
from helpers.models.backbones import load_backbone
from helpers.models.stages import head

WANTED = 0.82
"""Accuracy on the drawn slides that the open exercise asks for; the last stage reaches about 0.76."""


def _prediction(answer: str) -> str | None:
    if answer == "worse":
        return None
    if answer == "better":
        return (
            '"better" would need statistics that fit the new images better than the old ones. They do drift towards '
            "the new images, but are estimated from a few at a time, and the head learns on answers that change with "
            "every batch. Run the experiment below and compare."
        )
    if answer == "no difference":
        return (
            '"no difference" would be right if freezing the parameters froze everything. Print a `running_mean` before '
            "and after one forward pass in train mode."
        )
    return f'{answer!r} is none of "better", "no difference" and "worse"; choose one of them.'


def _keeps_frozen(answer: Callable[[nn.Module], object]) -> str | None:
    if not callable(answer):
        raise TypeError("it cannot be called")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.add_module("fc", nn.Linear(4, 2))
    conv, norm, last = model[0], model[1], model.fc
    for parameter in (*conv.parameters(), *norm.parameters()):
        parameter.requires_grad = False
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    for _ in range(2):  # as in two epochs
        model.train()
        answer(model)
        model(torch.linspace(-1, 1, 4 * 3 * 8 * 8).view(4, 3, 8, 8))
    moved = [name for name, buffer in norm.named_buffers() if not torch.equal(buffer, before[name])]
    if moved:
        return (
            f"after two passes in train mode {', '.join(moved)} of the frozen BatchNorm had moved. Put that layer "
            "into eval mode: `module.eval()`."
        )
    if not last.training:
        return "your function put the head into eval mode too, so its dropout would be off; touch BatchNorm alone."
    if not all(parameter.requires_grad for parameter in last.parameters()):
        return "your function froze the head, so nothing learns; leave `requires_grad` as it is."
    return _spares_learning_norms(answer)


def _spares_learning_norms(answer: Callable[[nn.Module], object]) -> str | None:
    learning = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).train()
    answer(learning)
    if not learning[0].training:
        return (
            "a BatchNorm whose own weights learn was put into eval mode as well. Ask each layer: does its weight have "
            "`requires_grad`?"
        )
    return None


def _parameters(answer: float) -> str | None:
    right = 256 * 128 + 128 + 128 * 10 + 10
    named = {
        256 * 128 + 128 * 10: "the biases are missing: each layer has one for each of its outputs",
        256 * 128 + 128: "that is the first layer alone; the second goes from 128 to 10",
        128 * 10 + 10: "that is the second layer alone; the first goes from 256 to 128",
        256 * 10 + 10: "that is the linear head, straight from 256 to 10; here 128 hidden units stand between",
        right + 256: "dropout has no parameters, and the 256 inputs bring none of their own",
    }
    if answer == right:
        return None
    if answer in named:
        return f"{named[answer]}."
    size = "too many" if answer > right else "too few"
    return f"{answer:,} is {size}. A linear layer from a to b has a x b weights and b biases; add up both layers."


def _set_up(answer: Callable[[], tuple[nn.Module, torch.optim.Optimizer]]) -> str | None:
    if not callable(answer):
        raise TypeError("it cannot be called")
    model, optimizer = answer()
    last, inside = head(model), {id(p) for p in head(model).parameters()}
    outputs = next(p for p in reversed(list(last.parameters()))).shape[0]
    if outputs != 5:
        return f"the head gives {outputs} scores, and there are 5 classes: `replace_head(model, 5)`."
    open_body = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in inside]
    if open_body:
        return f"{len(open_body)} parameters before the head still learn ({open_body[0]} is the first): freeze them."
    if not all(p.requires_grad for p in last.parameters()):
        return "the head is frozen as well, so nothing learns: freeze first, then let the head learn."
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not inside <= held:
        return "the new head is not in the optimizer: it was made from other parameters. Make it last, from this model."
    return _drifts_in(model)


def _drifts_in(model: nn.Module) -> str | None:
    model.train()
    awake = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]
    if awake:
        return (
            f"after `model.train()` {len(awake)} frozen BatchNorm layers are in train mode ({awake[0]} is the first) "
            "and would drift. `set_trainable` keeps them in eval mode."
        )
    return None


@cache
def _slides() -> tuple[nn.Module, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The embedded backbone, and the slides to learn from and to be judged on: normalized images with labels."""
    model, task = load_backbone("embedded"), load_task("slides")
    loaders = make_loaders(task, model.preprocessing, batch_size=1000)
    return model, next(iter(loaders.plain)), next(iter(loaders.test))


def slides_accuracy(features: Callable[[nn.Module, Tensor], Tensor]) -> float:
    """Share of the test slides that a linear probe names correctly on the features that a function computes.

    Args:
        features: from the embedded backbone and images (B, 3, 64, 64) to features (B, D), any D.

    Raises:
        ValueError: if the features have another shape.
    """
    model, (images, labels), (others, true) = _slides()
    found = [features(model.eval(), batch) for batch in (images, others)]
    for batch, some in zip((images, others), found, strict=True):
        if not isinstance(some, Tensor) or some.ndim != 2 or len(some) != len(batch):
            shape = tuple(some.shape) if isinstance(some, Tensor) else type(some).__name__
            raise ValueError(f"features must be of shape ({len(batch)}, D), not {shape}")
    return probe(found[0].detach(), labels, found[1].detach(), true, strength=0.01)


def last_stage(model: nn.Module, images: Tensor) -> Tensor:
    """The features that the head usually reads: those of the last stage before it, (B, 256)."""
    return list(stage_features(model, images).values())[-1]


def _features(answer: Callable[[nn.Module, Tensor], Tensor]) -> str | None:
    if not callable(answer):
        raise TypeError("it cannot be called")
    reached = slides_accuracy(answer)
    if reached >= WANTED:
        return None
    if abs(reached - slides_accuracy(last_stage)) < 1e-9:
        return (
            f"{reached:.1%}, just what the last stage gives. Look lower: `stage_features(model, images)` has one entry "
            "a stage, from stem to head."
        )
    return f"{reached:.1%} of the slides, and {WANTED:.0%} are wanted. Try other stages, or several side by side."


EXERCISES = {
    "02.1": Exercise(
        _prediction,
        'one of "better", "no difference" and "worse"',
        "Frozen parameters do not freeze the running statistics. How much it costs is measured below.",
        (
            "Which numbers of a network change although no gradient step touches them?",
            "BatchNorm in train mode uses the mean and variance of the batch at hand; here that is four images.",
        ),
    ),
    "02.2": Exercise(
        _keeps_frozen,
        "a function of a model",
        "Called after every `model.train()`, it keeps frozen BatchNorm as it was and leaves everything else alone.",
        (
            "Go through `model.modules()` and pick out the BatchNorm layers with `isinstance`.",
            "A BatchNorm layer is frozen when `module.weight.requires_grad` is False; then call `module.eval()`.",
        ),
    ),
    "02.3": Exercise(
        _parameters,
        "a number of parameters",
        "(256 x 128 + 128) + (128 x 10 + 10): thirteen times the linear head, and still about 1 % of the backbone.",
        (
            "A linear layer from a to b has a x b weights.",
            "And it has b biases. Add up 256 to 128 and 128 to 10; ReLU and dropout have none.",
        ),
    ),
    "02.4": Exercise(
        _set_up,
        "a function that gives a model and its optimizer",
        "A new head, a body frozen with its BatchNorm, and an optimizer made last, from the head that is there.",
        (
            "The order matters: load, replace the head, freeze, and only then make the optimizer.",
            "`set_trainable(model, [stages(model)[-1].name])` freezes all but the head, BatchNorm included.",
            "The optimizer takes `head(model).parameters()`.",
        ),
    ),
    "02.5": Exercise(
        _features,
        "a function from a model and images to features (B, D)",
        "The slides look little like what the backbone learned from, and the lower stages are less bound to that.",
        (
            "`stage_features(model, images)` gives a dictionary: the features of every stage but the head.",
            "The further a task is from the source, the lower the stages that serve it.",
            "`torch.cat([...], dim=1)` puts features side by side.",
        ),
    ),
}
