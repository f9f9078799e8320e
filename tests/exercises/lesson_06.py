"""Answers to the exercises of lesson 6: right ones, and plausible wrong ones with what each is told."""

import numpy as np
import torch
from torch import nn

from helpers import replace_head

CONVOLUTION = 118_013_952


def last_linear(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]


def new_head(model, classes):
    name = last_linear(model)
    model.set_submodule(name, nn.Linear(model.get_submodule(name).in_features, classes))
    return model


def new_head_in_place(model, classes):
    new_head(model, classes)


def renamed_only(model, classes):
    model.get_submodule(last_linear(model)).out_features = classes


def cut_to_size(model, classes):
    old = model.get_submodule(last_linear(model))
    old.weight, old.bias = nn.Parameter(old.weight[:classes]), nn.Parameter(old.bias[:classes])
    old.out_features = classes


def always_fc(model, classes):
    model.fc = nn.Linear(model.fc.in_features, classes)


def always_256(model, classes):
    model.set_submodule(last_linear(model), nn.Linear(256, classes))


def on_top(model, classes):
    return nn.Sequential(model, nn.Linear(10, classes))


def on_top_inside(model, classes):
    old = model.get_submodule(last_linear(model))
    model.set_submodule(last_linear(model), nn.Sequential(old, nn.Linear(10, classes)))


def two_layers(model, classes):
    width = model.get_submodule(last_linear(model)).in_features
    model.set_submodule(last_linear(model), nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, classes)))


def frozen_head(model, classes):
    new_head(model, classes)
    model.get_submodule(last_linear(model)).requires_grad_(False)


def whole_classifier(model, classes):
    name = last_linear(model).partition(".")[0]
    width = model.get_submodule(last_linear(model)).in_features
    setattr(model, name, nn.Linear(width, classes))


def everything_new(model, classes):
    new_head(model, classes)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def first_linear(model, classes):
    name = next(name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    model.set_submodule(name, nn.Linear(model.get_submodule(name).in_features, classes))


def regret(scores, accuracies):
    return max(accuracies) - accuracies[scores.index(max(scores))]


def areas(one, other):
    return [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]


def sides(one, other):
    return min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])


def shared(one, other):
    width, height = sides(one, other)
    return max(0, width) * max(0, height)


def iou(one, other):
    return shared(one, other) / (sum(areas(one, other)) - shared(one, other))


def unclipped(one, other):
    width, height = sides(one, other)
    return width * height / (sum(areas(one, other)) - width * height)


def clipped_late(one, other):
    width, height = sides(one, other)
    both = max(0, width * height)
    return both / (sum(areas(one, other)) - both)


def with_pixels_counted(one, other):
    def more(box):
        return (box[0], box[1], box[2] + 1, box[3] + 1)

    return iou(more(one), more(other))


def as_width_and_height(one, other):
    def corners(box):
        return (box[0], box[1], box[0] + box[2], box[1] + box[3])

    return iou(corners(one), corners(other))


def hull(one, other):
    width, height = max(one[2], other[2]) - min(one[0], other[0]), max(one[3], other[3]) - min(one[1], other[1])
    return shared(one, other) / (width * height)


RIGHT = {
    "06.1": [CONVOLUTION, "118,013,952", np.int64(CONVOLUTION), torch.tensor(CONVOLUTION)],
    "06.2": [65, "65", 65.0, torch.tensor(65)],
    "06.3": [new_head, new_head_in_place, replace_head],
    "06.4": [regret, lambda s, a: max(a) - a[int(np.argmax(s))], lambda s, a: torch.tensor(regret(s, a))],
    "06.5": [iou, lambda one, other: torch.tensor(iou(one, other), dtype=torch.float64)],
    "06.6": [("efficientnet_lite0", 64, "blocks.4"), ["efficientnet_lite0", 96, "blocks.4"]],
}

WRONG = {
    "06.1": [
        (9408, "number of weights"),
        (472_055_808, "every second pixel"),
        (2 * CONVOLUTION, "the pair counts once"),
        (3 * 49 * 112**2, "there are 64"),
        (64 * 49 * 112**2, "three colors"),
        (64 * 21 * 112**2, "7 x 7, not 7"),
        (64 * 112**2, "number of outputs"),
        (64 * 147 * 112, "112 rows"),
        (64 * 147 * 109**2, "padding of 3"),
        (64 * 27 * 112**2, "not 3 x 3"),
        (118, "the whole number"),
        (0.118, "the whole number"),
        (CONVOLUTION + 64 * 112**2, "without bias"),
        (1, "less than it takes"),
        (10**12, "more than it takes"),
        ("many", "this is a str"),
    ],
    "06.2": [
        (64, "class token"),
        (197, "for 224 pixels"),
        (196, "at 224 pixels"),
        (8, "one row"),
        (9, "eight rows"),
        (16, "width of a patch"),
        (17, "how many in all"),
        (128, "width of the image"),
        (256, "pixels of a patch"),
        (257, "128 / 16 is 8"),
        (768, "length of each embedding"),
        (3, "one side"),
        (None, "None"),
    ],
    "06.3": [
        (renamed_only, "the old head is still in place"),
        (cut_to_size, "cut to size"),
        (always_fc, "AttributeError"),
        (always_256, "no longer runs"),
        (on_top, "took away more"),
        (on_top_inside, "more layers than before"),
        (two_layers, "more layers than before"),
        (frozen_head, "frozen"),
        (whole_classifier, "with MobileNetV3 the network no longer runs"),
        (everything_new, "pretrained weights are gone"),
        (first_linear, "with MobileNetV3"),
        (lambda model, classes: None, "the old head is still in place"),
        (lambda model, classes: classes, "returns a int"),
        (lambda model: model, "calling it failed"),
        (nn.Linear(256, 7), "calling it failed"),
        (7, "this is an int"),
    ],
    "06.4": [
        (lambda s, a: -regret(s, a), "sign is turned round"),
        (lambda s, a: 100 * regret(s, a), "not percent"),
        (lambda s, a: a[s.index(max(s))], "the network that the score chose"),
        (lambda s, a: max(a), "that is the best accuracy"),
        (lambda s, a: max(a) - a[s.index(min(s))], "you took the lowest score"),
        (lambda s, a: max(a) / a[s.index(max(s))] - 1, "not their ratio"),
        (lambda s, a: 1 - a[s.index(max(s))] / max(a), "not their ratio"),
        (lambda s, a: max(a) - min(a), "not"),
        (lambda s, a: max(a) - sum(a) / len(a), "not"),
        (lambda s, a: max(a) - a[-1], "not"),
        (lambda s, a: max(s) - s[a.index(max(a))], "not"),
        (lambda s, a: 0.0, "the highest score is not always the best network"),
        (lambda s, a: max(a) - a[s.index(max(s, key=abs))], "you took the lowest score"),
        (lambda s, a: None, "None"),
        (lambda s: 0.0, "calling it failed"),
        (0.15, "this is a float"),
    ],
    "06.5": [
        (shared, "Divide the shared area"),
        (lambda a, b: shared(a, b) / sum(areas(a, b)), "subtract the shared area"),
        (lambda a, b: shared(a, b) / min(areas(a, b)), "not by the smaller box"),
        (lambda a, b: 2 * shared(a, b) / sum(areas(a, b)), "Dice"),
        (unclipped, "set it to 0"),
        (clipped_late, "set it to 0"),
        (with_pixels_counted, "not 0.111"),
        (as_width_and_height, "not 0.111"),
        (hull, "not 0.111"),
        (lambda a, b: 1 - iou(a, b), "not 0.111"),
        (lambda a, b: 100 * iou(a, b), "not 0.111"),
        (lambda a, b: float(iou(a, b) > 0.5), "not 0.111"),
        (lambda a, b: shared(a, b) / max(areas(a, b)), "not 0.111"),
        (lambda a, b: None, "None"),
        (lambda a: 0, "calling it failed"),
        (0.5, "this is a float"),
    ],
    "06.6": [
        (("embedded", 64, "layer4"), "are wanted"),
        (("embedded", 64, "conv1"), "no stage 'conv1'"),
        (("efficientnet_lite0", 224, "blocks.4"), "million multiply-adds per image"),
        (("efficientnet_lite0", 64, "layer4"), "no stage 'layer4'"),
        (("efficientnet_lite0", 64, "classifier"), "no stage 'classifier'"),
        (("efficientnet_lite0", 32, "stem"), "are wanted"),
        (("resnet18", 64, "layer4"), "does not stand to choice"),
        (("efficientnet_lite0", 1000, "blocks.4"), "not possible"),
        (("efficientnet_lite0", 64.5, "blocks.4"), "not possible"),
        (("efficientnet_lite0", 64), "these are 2"),
        ("efficientnet_lite0", "this is a str"),
        ((64, "efficientnet_lite0", "blocks.4"), "this is an int"),
        (("efficientnet_lite0", "large", "blocks.4"), "this is a str"),
    ],
}
