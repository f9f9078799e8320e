"""Answers to the exercises of lesson 5: right ones, and plausible wrong ones with what each is told."""

import copy
from statistics import mean

import numpy as np
import torch
from torch import nn

from helpers import compare, load_backbone
from helpers.models.stages import head


def add_layer4(model, optimizer, lr):
    model.layer4.requires_grad_(True)
    optimizer.add_param_group({"params": model.layer4.parameters(), "lr": lr})


def one_group_each(model, optimizer, lr):
    for parameter in model.layer4.parameters():
        parameter.requires_grad = True
        optimizer.add_param_group({"params": [parameter], "lr": lr})


def not_in_the_optimizer(model, optimizer, lr):
    model.layer4.requires_grad_(True)


def still_frozen(model, optimizer, lr):
    optimizer.add_param_group({"params": model.layer4.parameters(), "lr": lr})


def by_attribute(model, optimizer, lr):
    model.layer4.requires_grad = True
    optimizer.add_param_group({"params": model.layer4.parameters(), "lr": lr})


def default_rate(model, optimizer, lr):
    model.layer4.requires_grad_(True)
    optimizer.add_param_group({"params": model.layer4.parameters()})


def all_parameters(model, optimizer, lr):
    model.layer4.requires_grad_(True)
    optimizer.add_param_group({"params": model.parameters(), "lr": lr})


def everything_unfrozen(model, optimizer, lr):
    model.requires_grad_(True)
    optimizer.add_param_group({"params": model.layer4.parameters(), "lr": lr})


def holds_layer3(model, optimizer, lr):
    add_layer4(model, optimizer, lr)
    optimizer.add_param_group({"params": model.layer3.parameters(), "lr": lr})


def head_frozen(model, optimizer, lr):
    model.requires_grad_(False)
    add_layer4(model, optimizer, lr)


def new_optimizer(model, optimizer, lr):
    model.layer4.requires_grad_(True)
    return torch.optim.SGD([*model.fc.parameters(), *model.layer4.parameters()], lr=lr)


def one_rate_for_all(model, optimizer, lr):
    add_layer4(model, optimizer, lr)
    for group in optimizer.param_groups:
        group["lr"] = lr


def state_cleared(model, optimizer, lr):
    add_layer4(model, optimizer, lr)
    optimizer.state.clear()


def groups_replaced(model, optimizer, lr):
    model.layer4.requires_grad_(True)
    optimizer.param_groups.clear()
    optimizer.add_param_group({"params": list(model.layer4.parameters()), "lr": lr, "momentum": 0.9})


def only_one_block(model, optimizer, lr):
    model.layer4[1].requires_grad_(True)
    optimizer.add_param_group({"params": model.layer4[1].parameters(), "lr": lr})


@torch.no_grad()
def merge(layer):
    merged = copy.deepcopy(layer.conv)
    update = layer.up.weight.flatten(1) @ layer.down.weight.flatten(1)
    merged.weight += update.view_as(merged.weight)
    return merged


@torch.no_grad()
def merge_by_einsum(layer):
    merged = copy.deepcopy(layer.conv)
    merged.weight.add_(torch.einsum("or,rikl->oikl", layer.up.weight[:, :, 0, 0], layer.down.weight))
    return merged


@torch.no_grad()
def merge_in_place(layer):
    update = layer.up.weight.flatten(1) @ layer.down.weight.flatten(1)
    layer.conv.weight += update.view_as(layer.conv.weight)
    return layer.conv


@torch.no_grad()
def subtracted(layer):
    merged = copy.deepcopy(layer.conv)
    merged.weight -= (layer.up.weight.flatten(1) @ layer.down.weight.flatten(1)).view_as(merged.weight)
    return merged


@torch.no_grad()
def wrong_order(layer):
    merged = copy.deepcopy(layer.conv)
    merged.weight += (layer.down.weight.flatten(1) @ layer.up.weight.flatten(1)).view_as(merged.weight)
    return merged


@torch.no_grad()
def only_the_update(layer):
    conv = layer.conv
    merged = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
    merged.weight.copy_((layer.up.weight.flatten(1) @ layer.down.weight.flatten(1)).view_as(conv.weight))
    return merged


@torch.no_grad()
def another_stride(layer):
    conv = layer.conv
    merged = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, bias=False)
    merged.weight.copy_(merge(layer).weight)
    return merged


@torch.no_grad()
def without_bias(layer):
    conv = layer.conv
    merged = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False)
    merged.weight.copy_(merge(layer).weight)
    return merged


@torch.no_grad()
def doubled(layer):
    merged = merge(layer)
    merged.weight += merged.weight - layer.conv.weight
    return merged


def best_and_equals(results, cost):
    best = max(results, key=lambda name: mean(results[name]))
    equal = [name for name in results if compare(results[best], results[name]).verdict == "not distinguishable"]
    return min(equal, key=cost.get)


def highest_mean(results, cost):
    return max(results, key=lambda name: mean(results[name]))


def cheapest(results, cost):
    return min(cost, key=cost.get)


def dearest_of_equals(results, cost):
    best = highest_mean(results, cost)
    equal = [name for name in results if compare(results[best], results[name]).verdict == "not distinguishable"]
    return max(equal, key=cost.get)


def within_five_points(results, cost):
    best = highest_mean(results, cost)
    return min((name for name in results if mean(results[best]) - mean(results[name]) < 0.05), key=cost.get)


def within_one_point(results, cost):
    best = highest_mean(results, cost)
    return min((name for name in results if mean(results[best]) - mean(results[name]) < 0.005), key=cost.get)


def unpaired(results, cost):
    best = highest_mean(results, cost)
    low = mean(results[best]) - 2 * np.std(results[best])
    return min((name for name in results if mean(results[name]) > low), key=cost.get)


def small(model):
    return [p for name, p in model.named_parameters() if p.ndim == 1]


def first(model):
    return [*model.conv1.parameters(), *model.bn1.parameters(), *model.layer1.parameters()]


def small_and_first(model):
    return small(model) + first(model)


RIGHT = {
    "05.1": [2_570, 2_570.0, "2,570", np.int64(2_570), torch.tensor(2_570)],
    "05.2": [add_layer4, one_group_each],
    "05.3": [5_632, "5,632", torch.tensor(5_632)],
    "05.4": [merge, merge_by_einsum],
    "05.5": [best_and_equals],
    "05.6": [first, small_and_first],
}

WRONG = {
    "05.1": [
        (2_099_712, "does not hold them"),
        (2_102_282, "does not hold it"),
        (0, "still in the optimizer"),
        (2_560, "biases"),
        (10, "weights"),
        (2_796_576, "frozen"),
        (2_799_146, "whole network"),
        (257_000, "old head"),
        (2, "how many numbers"),
        (5_000, "too many"),
        (17, "too few"),
        ("none", "this is a str"),
        (None, "None"),
    ],
    "05.2": [
        (not_in_the_optimizer, "are not in the optimizer"),
        (still_frozen, "still frozen"),
        (by_attribute, "still frozen"),
        (default_rate, "the rate 0.1"),
        (all_parameters, "more than one parameter group"),
        (everything_unfrozen, "is unfrozen, too"),
        (holds_layer3, "other stages"),
        (head_frozen, "head is frozen"),
        (new_optimizer, "are not in the optimizer"),
        (one_rate_for_all, "rate of the head"),
        (state_cleared, "momentum"),
        (groups_replaced, "no longer in the optimizer"),
        (only_one_block, "layer4.0"),
        (lambda model, optimizer, lr: None, "still frozen"),
        (lambda model, optimizer, lr: model.layer5, "AttributeError"),
        (lambda model: None, "calling it failed"),
        ("add_param_group", "this is a str"),
    ],
    "05.3": [
        (294_912, "leaves it frozen"),
        (300_544, "is frozen"),
        (4_608, "first of the two"),
        (1_024, "second of the two"),
        (1_536, "nine weights"),
        (13_824, "1 × 1"),
        (5_892, "biases"),
        (5_888, "biases"),
        (9_728, "swapped"),
        (131_072, "do not multiply"),
        (5.632, "not thousands"),
        (6_000, "too many"),
        (12, "too few"),
        ([5_632], "this is a list"),
    ],
    "05.4": [
        (lambda layer: layer, "single `nn.Conv2d`"),
        (lambda layer: nn.Sequential(layer.conv, layer.up), "single `nn.Conv2d`"),
        (lambda layer: copy.deepcopy(layer.conv), "without the update"),
        (lambda layer: layer.down, "that of the frozen"),
        (lambda layer: layer.conv.weight + 1, "this is a Tensor"),
        (merge_in_place, "work on a copy"),
        (subtracted, "subtracted"),
        (wrong_order, "RuntimeError"),
        (only_the_update, "without the frozen convolution"),
        (another_stride, "stride and padding"),
        (without_bias, "bias"),
        (doubled, "outputs differ"),
        (lambda layer: None, "None"),
        (lambda layer: layer.merge(), "AttributeError"),
        ("conv", "this is a str"),
    ],
    "05.5": [
        (highest_mean, "contains zero"),
        (cheapest, "distinguishable"),
        (dearest_of_equals, "contains zero"),
        (within_five_points, "two points"),
        (within_one_point, "contains zero"),
        (unpaired, "two points"),
        (lambda results, cost: "fine-tuning", "none of the strategies"),
        (lambda results, cost: ["best"], "a list"),
        (lambda results, cost: max(mean(values) for values in results.values()), "not the name"),
        (lambda results, cost: None, "NoneType"),
        (lambda results: "best", "calling it failed"),
        (lambda results, cost: results["gradual"], "KeyError"),
        ("best", "this is a str"),
    ],
    "05.6": [
        (lambda model: list(model.parameters()), "are allowed"),
        (lambda model: list(model.layer4.parameters()), "are allowed"),
        (lambda model: list(model.layer2.parameters()), "are allowed"),
        (lambda model: list(head(model).parameters()), "head alone"),
        (lambda model: [], "head alone"),
        (lambda model: list(load_backbone().parameters()), "of the given model"),
        (lambda model: [name for name, _ in model.named_parameters()], "holds a str"),
        (lambda model: model, "returns a"),
        (lambda model: model.conv1.weight, "returns a"),
        (lambda model: [model.bn1], "holds a BatchNorm2d"),
        (lambda model: list(model.layer5.parameters()), "AttributeError"),
        (lambda model: [model.bn1.weight], "are wanted"),
        (small, "are wanted"),
        (lambda model: None, "returns a NoneType"),
        (lambda: [], "calling it failed"),
        ("BatchNorm", "this is a str"),
    ],
}
