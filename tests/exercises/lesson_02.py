"""Answers to the exercises of lesson 2: right ones, and plausible wrong ones with what each is told."""

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import resnet18

from course.activations import stage_features
from helpers import freeze, head, load_backbone, replace_head, set_trainable


def keep_frozen(model):
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not module.weight.requires_grad:
            module.eval()


def keep_frozen_by_class(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not any(p.requires_grad for p in module.parameters()):
            module.train(False)


def every_norm(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def only_children(model):
    for module in model.children():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def first_norm(model):
    model.bn1.eval()


def two_levels(model):
    for child in model.children():
        for module in child.children():
            for part in module.children():
                if isinstance(part, nn.BatchNorm2d) and not part.weight.requires_grad:
                    part.eval()


def dropout_too(model):
    keep_frozen(model)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()


def all_frozen_modules(model):
    for module in model.modules():
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


def freezes_more(model):
    keep_frozen(model)
    model.requires_grad_(False)


def unfreezes(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False).eval()


def misspelled(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.evaluate()


def set_up():
    model = replace_head(load_backbone("embedded"), 5)
    set_trainable(model, ["fc"])
    return model, torch.optim.Adam(head(model).parameters())


def in_plain_pytorch():
    model = load_backbone("embedded").requires_grad_(False)
    model.fc = nn.Linear(256, 5)
    freeze(model)
    return model, torch.optim.SGD(model.fc.parameters(), lr=0.1)


def old_head():
    model = load_backbone("embedded")
    freeze(model)
    return model, torch.optim.Adam(head(model).parameters())


def only_the_attribute():
    model = load_backbone("embedded")
    model.fc.out_features = 5
    set_trainable(model, ["fc"])
    return model, torch.optim.Adam(head(model).parameters())


def nothing_frozen():
    model = replace_head(load_backbone("embedded"), 5)
    return model, torch.optim.Adam(model.parameters())


def random_weights():
    model = replace_head(load_backbone("embedded", weights=None), 5)
    set_trainable(model, ["fc"])
    return model, torch.optim.Adam(head(model).parameters())


def another_network():
    model = resnet18(num_classes=5)
    set_trainable(model, ["fc"])
    return model, torch.optim.Adam(model.fc.parameters())


def optimizer_first():
    model = load_backbone("embedded")
    optimizer = torch.optim.Adam(model.fc.parameters())
    freeze(replace_head(model, 5))
    return model, optimizer


def all_frozen():
    model = replace_head(load_backbone("embedded"), 5).requires_grad_(False)
    return model, torch.optim.Adam(head(model).parameters())


def drifting():
    model = replace_head(load_backbone("embedded"), 5).requires_grad_(False)
    model.fc.requires_grad_(True)
    return model, torch.optim.Adam(head(model).parameters())


def stage(name):
    return lambda model, images: stage_features(model, images)[name]


RIGHT = {
    "02.1": [
        ["running_mean", "running_var", "num_batches_tracked"],
        "running_mean, Running_Var, num_batches_tracked",
        ("num_batches_tracked", "running_mean", "running_var"),
    ],
    "02.2": [keep_frozen, keep_frozen_by_class],
    "02.3": [34_186, 34_186.0, "34,186", np.int32(34_186), torch.tensor(34_186)],
    "02.4": [set_up, in_plain_pytorch],
    "02.5": [stage("layer2"), stage("layer3")],
}

WRONG = {
    "02.1": [
        (["running_mean"], "2 more"),
        (["running_mean", "running_var"], "is one more"),
        (["weight", "bias"], "is a parameter"),
        (["weight"], "is a parameter"),
        (["running_mean", "running_var", "num_batches_tracked", "weight"], "is a parameter"),
        (["momentum"], "is a setting"),
        (["running_mean", "eps"], "is a setting"),
        ("mean, var", "nothing that a BatchNorm layer stores"),
        (["running_std"], "nothing that a BatchNorm layer stores"),
        ("nothing", "nothing that a BatchNorm layer stores"),
        ([], "3 more"),
        (3, "nothing that"),
        ([1, 2], "this is an int"),
    ],
    "02.2": [
        (lambda model: None, "still update"),
        (lambda model: model.eval(), "in layer4"),
        (lambda model: model.requires_grad_(False), "requires_grad"),
        (every_norm, "in layer4"),
        (only_children, "`model.children()` does not"),
        (first_norm, "inside blocks"),
        (two_levels, "inside blocks"),
        (dropout_too, "dropout"),
        (all_frozen_modules, "dropout"),
        (freezes_more, "requires_grad"),
        (unfreezes, "requires_grad"),
        (misspelled, "`module.evaluate()`"),
        (lambda: None, "calling it failed"),
        ("module.eval()", "this is a str"),
    ],
    "02.3": [
        (34_048, "biases"),
        (32_896, "first layer alone"),
        (1_290, "second layer alone"),
        (2_570, "linear head"),
        (34_442, "none for its inputs"),
        (34_058, "first layer's"),
        (34_176, "second layer's"),
        (34_314, "dropout"),
        (327_680, "do not multiply"),
        (34.186, "not thousands"),
        (40_000, "too many"),
        (7, "too few"),
        ("a lot", "this is a str"),
        (None, "None"),
    ],
    "02.4": [
        (old_head, "1000 scores"),
        (only_the_attribute, "1000 scores"),
        (nothing_frozen, "are trainable"),
        (random_weights, "pretrained values"),
        (another_network, "pretrained values"),
        (optimizer_first, "not in the optimizer"),
        (all_frozen, "frozen as well"),
        (drifting, "would drift"),
        (lambda: load_backbone("embedded"), "not a model and an optimizer"),
        (lambda: None, "not a model and an optimizer"),
        (lambda: (set_up()[1], set_up()[0]), "this is an Adam"),
        (lambda: set_up()[2], "IndexError"),
        (set_up(), "this is a tuple"),
    ],
    "02.5": [
        (lambda model, images: stage_features(model, images)["layer4"], "Look lower"),
        (lambda model, images: model(images), "wanted"),
        (lambda model, images: images.mean((2, 3)), "wanted"),
        (lambda model, images: images.flatten(1)[:, :300], "wanted"),
        (lambda model, images: torch.rand(len(images), 20), "wanted"),
        (lambda model, images: images, "(40, 3, 64, 64)"),
        (lambda model, images: stage_features(model, images), "dict"),
        (lambda model, images: stage_features(model, images)["layer5"], "KeyError"),
        (lambda model, images: stage_features(model, images)["layer2"][:5], "(5, 64)"),
        (lambda model, images: stage_features(model, images)["layer2"] / 0, "not finite"),
        (lambda images: images, "calling it failed"),
        (lambda model, images: None, "NoneType"),
        ("layer2", "this is a str"),
    ],
}
