"""What the exercises ask in lesson 1: the concept."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from course.activations import loader_features, probe
from course.exercises import Exercise, Passed, function, instance, number, word
from helpers.data.load import load_task
from helpers.data.loaders import make_loaders
from helpers.errors import HelpersError
from helpers.measure import Comparison, compare
from helpers.models.backbones import load_backbone
from helpers.models.modes import eval_mode
from helpers.models.stages import stages

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
BODY, PER_CLASS, TEN_CLASSES = 11_176_512, 513, 10
SEEDS = range(20, 25)


def _parameters(answer: Any) -> str | None:
    given, right = number(answer), BODY + PER_CLASS * TEN_CLASSES
    known = {
        BODY + 512 * TEN_CLASSES: "each class has a bias too, besides its 512 weights; add ten.",
        PER_CLASS * TEN_CLASSES: "that is the head alone; add the body.",
        512 * TEN_CLASSES: "those are the weights of the head alone; add its biases and the body.",
        BODY: "that is the body alone; add a head of 512 weights and a bias for each class.",
        BODY + PER_CLASS * 2: "that is still the head for two classes; put one for ten in its place.",
        BODY + PER_CLASS * (TEN_CLASSES + 2): "the old head for two classes is still in it; take its 1,026 away.",
        BODY + PER_CLASS * 1000: "that is the network with ImageNet's thousand classes; the new task has ten.",
        right / 1e6: "write the whole number, not millions.",
    }
    if given == right:
        return None
    if given in known:
        return known[given]
    more = f"{abs(given - right):,.0f} too {'many' if given > right else 'few'}"
    return f"{given:,.0f} is {more}; count body and head separately."


def _multiply_adds(answer: Any) -> str | None:
    given, weights = number(answer), 3 * 32 * 5 * 5
    known = {
        weights: "those are the weights. Each is used once at every position of the output.",
        weights + 64: "those are the parameters. Each weight is used once at every position of the output.",
        weights * 64 * 64: "with stride 2 the output is not 64 × 64: the filter moves two pixels at a time.",
        weights
        * 16
        * 16: "16 × 16 is the output of the whole stem, after the max pooling; the convolution comes first.",
        weights * 60 * 60: "60 × 60 is the output without padding and stride; here it is half the image.",
        2 * weights * 32 * 32: "a multiplication and the addition after it count as one.",
        32 * 5 * 5 * 32 * 32: "each filter looks at all three colors.",
        3 * 32 * 5 * 32 * 32: "a filter is 5 pixels wide and 5 high, so it has 25 weights for each color.",
        3 * 5 * 5 * 32 * 32: "that is one filter; there are 32.",
    }
    if given == weights * 32 * 32:
        return None
    return known.get(
        given,
        f"{given:,.0f} is not it: multiply the weights by the positions at which each is used (32 × 32).",
    )


def _model(answer: Any) -> str | None:
    model = instance(answer, nn.Module)
    pretrained = load_backbone("embedded")
    parts = stages(model)
    if [part.name for part in parts] != [*STAGES, "fc"]:
        return f"its stages are {', '.join(part.name for part in parts)}; begin with load_backbone('embedded')."
    with eval_mode(model), torch.no_grad():
        outputs = model(torch.zeros(2, 3, 64, 64)).shape[1]
    if outputs != 6:
        return f"its head gives {outputs} scores, and the task has six classes; replace_head(model, 6) comes first."
    old = pretrained.state_dict()
    changed = [
        name
        for name, value in model.state_dict().items()
        if not name.startswith("fc.") and not torch.equal(value, old[name])
    ]
    if changed:
        return f"{changed[0]} is not what was pretrained; load the weights, and train nothing yet."
    return _trainable(model)


def _trainable(model: nn.Module) -> str | None:
    for part in stages(model):
        if part.trainable and not all(p.requires_grad for p in part.parameters.values()):
            return f"only a part of {part.name} is trainable; let the whole stage learn, or none of it."
    trainable = [part.name for part in stages(model) if part.trainable]
    if trainable == ["layer4", "fc"]:
        return None
    wrong = "nothing is trainable" if not trainable else f"{', '.join(trainable)} can learn"
    return f"{wrong}, where layer4 and fc should; set_trainable(model, [...]) takes the names of both."


def _nearest(answer: Any) -> str | None:
    query = torch.tensor([1.0, 0.2, 0.0])
    rows = {
        "long": [5.0, 9.0, 0.0],
        "orthogonal": [0.0, 4.0, 0.0],
        "right": [0.1, 0.02, 0.0],
        "opposite": [-1.0, -0.2, 0.0],
        "near": [0.9, 0.5, 0.0],
        "tiny": [0.01, 0.008, 0.0],
    }
    reasons = {
        "long": "is long, but points elsewhere: a plain product favors long rows. Divide by the lengths.",
        "opposite": "points the opposite way: take the largest cosine, with its sign.",
        "near": "ends nearest, but points elsewhere: a distance depends on lengths. Compare directions.",
        "tiny": "is tiny, but points elsewhere: you divide by the squared length. The length is a square root.",
    }
    found = []
    for order in (list(rows), list(reversed(rows)), sorted(rows)):
        given = function(answer, query, torch.tensor([rows[name] for name in order]))
        index = number(given)
        if index != int(index) or not 0 <= index < len(rows):
            return f"your function gives {index:g}; it should give the index of one row, 0 to {len(rows) - 1}."
        found.append((int(index), order[int(index)]))
    if len({index for index, _ in found}) == 1:
        return f"your function gives row {found[0][0]} whatever the rows are, or in whatever order."
    for index, name in found:
        if name != "right":
            reason = reasons.get(name, "does not point the way the query does.")
            return f"row {index}, {rows[name]}, {reason} The query is {[1.0, 0.2, 0.0]}."
    return None


def _finding(answer: Any) -> str | Passed | None:
    given = instance(answer, dict)
    missing = [key for key in ("task", "classes", "train_per_class", "earlier", "later") if key not in given]
    if missing:
        return f"the dictionary lacks {', '.join(missing)}."
    task, pair = word(given["task"]), (word(given["earlier"]), word(given["later"]))
    unknown = [stage for stage in pair if stage not in STAGES]
    if unknown:
        return f"{unknown[0]!r} is no stage with features for a probe; choose from {', '.join(STAGES)}."
    if STAGES.index(pair[1]) != STAGES.index(pair[0]) + 1:
        return f"{pair[1]} does not come right after {pair[0]}; choose two neighbors, the earlier one first."
    if task not in ("flowers", "slides"):
        return f"{task!r} is not drawn here; choose 'flowers' or 'slides'."
    counts = {key: int(number(given[key])) for key in ("classes", "train_per_class")}
    if max(counts.values()) > 40:
        return "that takes too long to draw; stay at 40 classes and 40 images per class, or fewer."
    try:
        val = _compared(task, pair, "val", **counts)
    except HelpersError as error:
        return f"{error}"
    if not val.better_by():
        return f"on validation images {pair[0]} is {val}. Try another pair or another task."
    return Passed(f"Validation: {val}. Test: {_compared(task, pair, 'test', **counts)}.")


def _compared(task: str, pair: tuple[str, str], part: str, **counts: int) -> Comparison:
    """The earlier stage against the later one, on the validation or test images of five freshly drawn tasks."""
    model, accuracies = load_backbone("embedded"), ([], [])
    for seed in SEEDS:
        test_per_class = 25 if part == "test" else 1
        drawn = load_task(task, seed=seed, val_per_class=25, test_per_class=test_per_class, **counts)
        loaders = make_loaders(drawn, model.preprocessing)
        train, labels = loader_features(model, loaders.plain)
        images, true = loader_features(model, getattr(loaders, part))
        for stage, values in zip(pair, accuracies, strict=True):
            values.append(probe(train[stage], labels, images[stage], true))
    return compare(*accuracies)


EXERCISES = {
    "01.1": Exercise(
        _parameters,
        "a number of parameters",
        "Only the head depends on the number of classes.",
        (
            "With two classes there are 11,177,538. How many of those belong to the head?",
            "A head has 512 weights and one bias for each class.",
            "Subtract 2 · 513 and add 10 · 513.",
        ),
    ),
    "01.2": Exercise(
        _multiply_adds,
        "a number of multiply-adds",
        "2,400 weights at 1,024 positions. At 224 pixels the same layer would take twelve times as many.",
        (
            "The layer has 3 · 32 · 5 · 5 weights.",
            "With stride 2 the output has half the height and half the width of the image.",
        ),
    ),
    "01.3": Exercise(
        _model,
        "a model",
        "The new head and the stage before it can learn; everything else is kept.",
        (
            "Start with `load_backbone('embedded')` and give it a head for six classes.",
            "`set_trainable(model, names)` lets the named stages learn and freezes all others.",
        ),
    ),
    "01.4": Exercise(
        _nearest,
        "a function of a query and features",
        "Directions are compared, so a short row counts as much as a long one.",
        (
            "The cosine of two vectors is their dot product divided by both lengths.",
            "`nn.functional.cosine_similarity(query[None], features, dim=1)` gives one per row; take the largest.",
        ),
    ),
    "01.5": Exercise(
        _finding,
        "a dictionary",
        "That is a finding: on this task, one stage further was one too far.",
        (
            "Look for a line in the plot of the probes that falls from one stage to the next.",
            "A small difference needs more images to show: raise `train_per_class`.",
        ),
    ),
}
