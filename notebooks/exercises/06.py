"""What the exercises ask in lesson 6: choosing a pretrained model."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import VisionTransformer

from course.activations import probe, stage_features
from course.exercises import Exercise, Passed, WrongKind, function, instance, number
from course.model_table import multiply_adds
from drawn import slides
from helpers.data.transforms import normalize, resize
from helpers.errors import HelpersError
from helpers.models.backbones import load_backbone
from helpers.models.embedded import build

WANTED, BUDGET, TRAIN, HELD = 0.9, 100e6, 20, 40
"""Exercise 6: validation accuracy, multiply-adds per image at most, images per class to learn from and to score."""

CONVOLUTION = 64 * 3 * 7 * 7 * 112 * 112
MISCOUNTED = {
    64 * 3 * 7 * 7: "that is its number of weights; each of them is used at every position of the output.",
    64 * 3 * 7 * 7 * 224 * 224: "with stride 2 the filters stop at every second pixel, so the output is 112 x 112.",
    2 * CONVOLUTION: "that counts a multiplication and its addition as two; here the pair counts once.",
    3 * 7 * 7 * 112 * 112: "that is one filter; there are 64.",
    64 * 7 * 7 * 112 * 112: "that leaves out the three colors: each filter is 3 x 7 x 7.",
    64 * 3 * 7 * 112 * 112: "each filter is 7 x 7, not 7.",
    64 * 112 * 112: "that is the number of outputs; each takes 3 x 7 x 7 multiplications.",
    64 * 3 * 7 * 7 * 112: "the output has 112 rows of 112 positions.",
    64 * 3 * 7 * 7 * 109 * 109: "padding of 3 keeps the output at half the width: 112.",
    64 * 3 * 3 * 3 * 112 * 112: "this convolution is 7 x 7, not 3 x 3.",
}


def _convolution(answer: Any) -> str | None:
    given = number(answer)
    if given == CONVOLUTION:
        return None
    for wrong, reason in MISCOUNTED.items():
        if math.isclose(given, wrong, rel_tol=1e-3):
            return reason
    if math.isclose(given, CONVOLUTION / 1e6, rel_tol=1e-2) or math.isclose(given, CONVOLUTION / 1e9, rel_tol=1e-1):
        return "the right size; give the whole number, not millions or billions."
    if math.isclose(given, CONVOLUTION, rel_tol=1e-2):
        return "nearly; give the exact number (a convolution without bias)."
    return (
        f"{given:,.0f} is {'more' if given > CONVOLUTION else 'less'} than it takes. Multiply the number of outputs by "
        "the size of one filter."
    )


TOKENS = {
    64: "those are the patches; the class token has a position too.",
    196: "that is the number of patches at 224 pixels, without the class token.",
    197: "that is for 224 pixels; this network takes 128.",
    8: "that is one row of patches; there are eight rows, and a class token.",
    9: "there are eight rows of eight patches, not one.",
    16: "that is the width of a patch in pixels.",
    17: "a patch is 16 pixels wide, so how many are there along 128 pixels, and how many in all?",
    128: "that is the width of the image. How many patches of 16 pixels does it hold, in both directions?",
    256: "that is the number of pixels of a patch. How many patches are there?",
    257: "that would be 16 x 16 patches and a class token; 128 / 16 is 8.",
    768: "that is the length of each embedding, not how many there are.",
}


def _tokens(answer: Any) -> str | None:
    given = number(answer)
    if given == 65:
        return None
    return TOKENS.get(given, f"{given:g} is not it. Count the patches along one side, square, and add the class token.")


def _networks() -> dict[str, tuple[nn.Module, str, int]]:
    """Small networks of four kinds, where their last layer is, and the size of their images."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {
            "a ResNet": (build(10), "fc", 64),
            "MobileNetV3": (models.mobilenet_v3_small(weights=None, num_classes=10), "classifier.3", 64),
            "EfficientNet-B0": (models.efficientnet_b0(weights=None, num_classes=10), "classifier.1", 64),
            "a ViT": (VisionTransformer(32, 16, 1, 2, 16, 32, num_classes=10), "heads.head", 32),
        }


def _replaces_heads(answer: Any) -> str | None:
    for name, (model, place, size) in _networks().items():
        before = {key: value.clone() for key, value in model.state_dict().items()}
        old, layers = model.get_submodule(place), len(list(model.modules()))
        returned = function(answer, model, 7)
        if returned is not None and not isinstance(returned, nn.Module):
            raise WrongKind(f"your function returns a {type(returned).__name__}")
        model = model if returned is None else returned
        try:
            with torch.no_grad():
                scores = model.eval()(torch.zeros(2, 3, size, size))
        except (RuntimeError, NotImplementedError) as error:
            return (
                f"with {name} the network no longer runs ({str(error).splitlines()[0]}). What goes into its last layer?"
            )
        if scores.shape != (2, 7):
            kept = "the old head is still in place" if scores.shape[1] == 10 else "that is not (2, 7)"
            return f"with {name} the scores of two images have the shape {tuple(scores.shape)}: {kept}."
        if problem := _what_changed(model, name, place, old, before, layers):
            return problem
    return None


def _what_changed(
    model: nn.Module, name: str, place: str, old: nn.Module, before: dict[str, Tensor], layers: int
) -> str | None:
    after = model.state_dict()
    body = [key for key in before if not key.startswith(place)]
    if lost := [key for key in body if key not in after]:
        return f"with {name} you took away more than the last layer: {lost[0]} is gone."
    if moved := [key for key in body if not torch.equal(before[key], after[key])]:
        return f"with {name} the pretrained weights are gone: {moved[0]} changed."
    if model.get_submodule(place) is old:
        return f"with {name} the old layer was cut to size, and keeps weights of the old classes; put in a new one."
    if len(list(model.modules())) > layers:
        return f"with {name} there are more layers than before; put the new layer in the old one's place."
    if any(not parameter.requires_grad for parameter in model.get_submodule(place).parameters()):
        return f"with {name} the new layer is frozen, so it cannot learn."
    return None


REGRETS = (
    ([0.1, 0.9, 0.5], [0.70, 0.80, 0.95], 0.15, "the highest score is not always the best network"),
    ([3.0, 2.0, 1.0], [0.6, 0.5, 0.4], 0.0, "where the score is right, nothing is lost"),
    ([-0.30, -0.20, -0.25], [0.9, 0.4, 0.6], 0.5, "scores may be negative"),
    ([5.0, 1.0, 2.0, 3.0], [0.5, 0.9, 0.7, 0.6], 0.4, "the best may have the lowest score"),
)


def _regret(answer: Any) -> str | None:
    for scores, accuracies, expected, why in REGRETS:
        got = number(function(answer, list(scores), list(accuracies)))
        if math.isclose(got, expected, abs_tol=1e-6):
            continue
        told = f"for scores {scores} and accuracies {accuracies} you give {got:g}, not {expected:g}"
        best, chosen = max(accuracies), accuracies[scores.index(max(scores))]
        if math.isclose(got, -expected, abs_tol=1e-6):
            return f"{told}: the sign is turned round; take the best accuracy minus the chosen one."
        if math.isclose(got, 100 * expected, abs_tol=1e-6):
            return f"{told}: give a fraction, not percent."
        if math.isclose(got, chosen, abs_tol=1e-6):
            return f"{told}: that is the accuracy of the network that the score chose. How far behind the best is it?"
        if math.isclose(got, best, abs_tol=1e-6):
            return f"{told}: that is the best accuracy. Subtract that of the network that the score chose."
        if math.isclose(got, best - accuracies[scores.index(min(scores))], abs_tol=1e-6):
            return f"{told}: you took the lowest score; higher is better."
        if math.isclose(got, best / chosen - 1, abs_tol=1e-6) or math.isclose(got, 1 - chosen / best, abs_tol=1e-6):
            return f"{told}: give the difference of the accuracies, not their ratio."
        return f"{told} ({why})."
    return None


OVERLAPS = (
    ((0, 0, 4, 4), (2, 2, 6, 8), 4 / 36, "the boxes share 2 x 2 of 16 + 24 - 4 pixels"),
    ((0, 0, 2, 2), (5, 5, 9, 9), 0.0, "they do not touch"),
    ((0, 0, 2, 9), (5, 0, 9, 9), 0.0, "side by side, they share rows but no pixel"),
    ((0, 0, 10, 10), (2, 3, 4, 8), 10 / 100, "the second lies inside the first"),
    ((1, 1, 3, 5), (1, 1, 3, 5), 1.0, "they are the same"),
)


def _iou(answer: Any) -> str | None:
    for one, other, expected, why in OVERLAPS:
        got = number(function(answer, one, other))
        if math.isclose(got, expected, abs_tol=1e-6):
            continue
        told = f"for {one} and {other} you give {got:.3g}, not {expected:.3g}: {why}"
        area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        shared = max(0, min(one[2], other[2]) - max(one[0], other[0])) * max(
            0, min(one[3], other[3]) - max(one[1], other[1])
        )
        if shared and math.isclose(got, shared, abs_tol=1e-6):
            return f"{told}. Divide the shared area by that of the union."
        if shared and math.isclose(got, shared / sum(area), abs_tol=1e-6):
            return f"{told}. The union counts what both cover once: subtract the shared area."
        if shared and math.isclose(got, shared / min(area), abs_tol=1e-6):
            return f"{told}. Divide by the union, not by the smaller box."
        if shared and math.isclose(got, 2 * shared / sum(area), abs_tol=1e-6):
            return f"{told}. That is the Dice coefficient; divide by the union."
        if not shared and got > 0:
            return f"{told}. Where they do not overlap, width or height comes out negative: set it to 0."
        return f"{told}."
    return None


@cache
def _images(held: str, size: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(4).repeat(TRAIN if held == "train" else HELD)
    return slides.draw(labels.tolist(), size, {"train": 4000, "val": 4001, "test": 4002}[held]), labels


@cache
def measured(name: str, size: int, stage: str) -> tuple[float, float]:
    """Validation and test accuracy of a linear probe on one stage, slides drawn at `size` pixels."""
    model = load_backbone(name).eval()
    found = {}
    for held in ("train", "val", "test"):
        images, labels = _images(held, size)
        inputs = normalize(resize(images, size, size), model.preprocessing)
        found[held] = stage_features(model, inputs, 40)[stage], labels
    return tuple(probe(*found["train"], *found[held]) for held in ("val", "test"))


def _choice(answer: Any) -> str | Passed:
    parts = instance(answer, (tuple, list))
    if len(parts) != 3:
        return f"give three things, name, size and stage; these are {len(parts)}."
    name, size, stage = instance(parts[0], str), number(parts[1]), instance(parts[2], str)
    if name not in ("embedded", "efficientnet_lite0"):
        return f'{name!r} does not stand to choice here; take "embedded" or "efficientnet_lite0".'
    if size != int(size) or not 32 <= size <= 224:
        return f"{size:g} pixels are not possible here; take a whole number from 32 to 224."
    model = load_backbone(name, None)
    cost = multiply_adds(model, int(size))
    if cost > BUDGET:
        allowed = f"{BUDGET / 1e6:.0f} are allowed"
        return f"{name} at {size:g} pixels takes {cost / 1e6:.0f} million multiply-adds per image, and {allowed}."
    known = list(stage_features(model.eval(), torch.zeros(1, 3, int(size), int(size))))
    if stage not in known:
        return f"{name} has no stage {stage!r} before its head; it has {', '.join(known)}."
    try:
        val, test = measured(name, int(size), stage)
    except HelpersError as error:
        return f"it could not be measured: {error}"
    if val < WANTED:
        return (
            f"{cost / 1e6:.0f} million multiply-adds, and {val:.0%} of the validation images; {WANTED:.0%} are wanted. "
            "Vary the stage, and the size as far as the budget allows."
        )
    return Passed(f"{cost / 1e6:.0f} million multiply-adds, validation {val:.0%}, test {test:.0%}.")


EXERCISES = {
    "06.1": Exercise(
        _convolution,
        "a number of multiply-adds",
        "Each of 112 x 112 x 64 outputs takes 3 x 7 x 7 multiply-adds: 118 million, for 9,408 weights.",
        (
            "How many numbers does the layer put out? With stride 2 and padding 3 its output is half as wide.",
            "Each output takes as many multiplications as one filter has weights: channels in x height x width.",
        ),
    ),
    "06.2": Exercise(
        _tokens,
        "a number of position embeddings",
        "8 x 8 patches and the class token. Weights for 224 pixels bring 197, which have to be interpolated.",
        (
            "How many patches of 16 pixels fit along 128 pixels?",
            "Patches lie in both directions, and the class token has a position embedding as well.",
        ),
    ),
    "06.3": Exercise(
        _replaces_heads,
        "a function of a model and a number of classes",
        "The last layer is new, in its old place, and everything before it is untouched.",
        (
            "The last linear layer has another name in each family; `model.named_modules()` lists them in order.",
            "Take the last `nn.Linear` among them; `model.set_submodule(name, new)` puts a new one in its place.",
        ),
    ),
    "06.4": Exercise(
        _regret,
        "a function of scores and accuracies",
        "That is what following the score costs, and the figure that counts when you choose.",
        (
            "Which network would you take? The one with the highest score.",
            "`accuracies[scores.index(max(scores))]` is its accuracy; compare it with the best.",
        ),
    ),
    "06.5": Exercise(
        _iou,
        "a function of two boxes",
        "Shared area over the area of both together, and 0 where they do not meet.",
        (
            "The shared part begins at the larger of the two lefts and ends at the smaller of the two rights.",
            "If it ends before it begins, its width is 0: `max(0, right - left)`.",
            "The union is the sum of both areas minus the shared area.",
        ),
    ),
    "06.6": Exercise(
        _choice,
        "a tuple of name, size and stage",
        "Within the budget and good enough, and chosen on validation images.",
        (
            "In this lesson the last stage was not always the best for slides.",
            "Multiply-adds grow with the square of the size. Which of the two networks is cheaper at 64 pixels?",
        ),
    ),
}
