"""Answers to the exercises of lesson 3: right ones, and plausible wrong ones with what each is told."""

import copy

import numpy as np
import torch
from torch import nn

from helpers import Phase, head, load_backbone, parameter_groups, replace_head


def clones(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def weights_alone(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def one_layer(model):
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith("0.")}


def only_weights_cloned(model):
    return {n: v.clone() if n.endswith("weight") else v for n, v in model.state_dict().items()}


def half_precision(model):
    return {name: value.half() for name, value in model.state_dict().items()}


def zeroed(model):
    return {name: torch.zeros_like(value) for name, value in model.state_dict().items()}


def as_numpy(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def body(model):
    return [p for name, p in model.named_parameters() if not name.startswith("fc.")]


def groups(model, pretrained=1e-3, new=1e-2):
    return [{"params": body(model), "lr": pretrained}, {"params": list(head(model).parameters()), "lr": new}]


def two_rates(model):
    return torch.optim.SGD(groups(model), momentum=0.9)


def by_default_rate(model):
    *before, new = groups(model)
    return torch.optim.AdamW([{"params": before[0]["params"]}, new], lr=1e-3)


def with_our_helper(model):
    return torch.optim.AdamW(parameter_groups(model, 1e-3, head_lr=1e-2))


def head_twice(model):
    optimizer = two_rates(model)
    optimizer.param_groups[0]["params"] += list(model.fc.parameters())  # add_param_group would refuse it
    return optimizer


def another_model(_):
    return two_rates(replace_head(load_backbone("embedded"), 6))


def body_frozen(model):
    optimizer = two_rates(model)
    for parameter in body(model):
        parameter.requires_grad = False
    return optimizer


def no_bias(model):
    return torch.optim.SGD([{"params": body(model), "lr": 1e-3}, {"params": [model.fc.weight], "lr": 1e-2}])


def no_norms(model):
    kept = [p for p in body(model) if p.ndim > 1]
    return torch.optim.SGD([{"params": kept, "lr": 1e-3}, {"params": model.fc.parameters(), "lr": 1e-2}])


def by_stage(model):
    return torch.optim.SGD(parameter_groups(model, 1e-2, layer_decay=0.5))


RIGHT = {
    "03.1": [8, "8", 8.0, np.int64(8), torch.tensor(8), "last"],
    "03.2": [clones, lambda model: copy.deepcopy(model.state_dict()), lambda model: copy.deepcopy(model).state_dict()],
    "03.3": [two_rates, by_default_rate, with_our_helper],
    "03.4": [["b", "d", "e"], "b, d, e", {"B", "D", "E"}, "bde", "(b), (d) and (e)"],
    "03.5": [[Phase("head", lr=1e-2, epochs=5), Phase("all", lr=1e-5, epochs=3, head_lr=1e-3)]],
}

WRONG = {
    "03.1": [
        (5, "what was meant"),
        ("best", "what was meant"),
        (7, "one more"),
        (6, "as they are now"),
        (0, "pretrained weights"),
        (1, "neither the best nor the last"),
        (4, "neither the best nor the last"),
        (9, "not one of the epochs"),
        (-1, "not one of the epochs"),
        (5.5, "not one of the epochs"),
        ("no idea", "this is a str"),
        (None, "None"),
    ],
    "03.2": [
        (lambda model: model.state_dict(), "all of your values moved"),
        (lambda model: dict(model.state_dict()), "all of your values moved"),
        (lambda model: copy.copy(model.state_dict()), "all of your values moved"),
        (lambda model: {n: v.detach() for n, v in model.state_dict().items()}, "all of your values moved"),
        (only_weights_cloned, "some of your values moved"),
        (weights_alone, "running_mean is the first"),
        (one_layer, "entries are missing"),
        (lambda model: {}, "entries are missing"),
        (lambda model: copy.deepcopy(model), "a whole model"),
        (lambda model: list(model.parameters()), "returns a list"),
        (lambda model: nn.utils.parameters_to_vector(model.parameters()), "returns a Tensor"),
        (half_precision, "already differ"),
        (zeroed, "already differ"),
        (as_numpy, "have to be tensors"),
        (lambda model: None, "returns nothing"),
        (lambda: {}, "calling it failed"),
        (lambda model: copy.deepcopy(model.state_dicts()), "AttributeError"),
    ],
    "03.3": [
        (lambda model: torch.optim.SGD(model.parameters(), lr=1e-3), "everything learns at 0.001"),
        (lambda model: torch.optim.SGD(groups(model, 1e-2, 1e-3)), "swapped"),
        (lambda model: torch.optim.SGD(groups(model, 1e-3, 1e-1)), "the new head learns at 0.1"),
        (lambda model: torch.optim.SGD(groups(model, 1e-4, 1e-2)), "the pretrained part learns at 0.0001"),
        (lambda model: torch.optim.SGD(model.fc.parameters(), lr=1e-2), "of the pretrained part are missing"),
        (lambda model: torch.optim.SGD(body(model), lr=1e-3), "of the new head are missing"),
        (no_bias, "fc.bias is the first"),
        (no_norms, "of the pretrained part are missing"),
        (head_twice, "in two groups"),
        (another_model, "not this model's"),
        (body_frozen, "frozen"),
        (by_stage, "the pretrained part learns at"),
        (groups, "parameter groups"),
        (lambda model: None, "None"),
        (lambda model: torch.optim.SGD([*groups(model), {"params": model.fc.parameters(), "lr": 1}]), "ValueError"),
        (1e-3, "this is a float"),
    ],
    "03.4": [
        (["b"], "are 2 more"),
        (["b", "d"], "in (e)"),
        (["d", "e"], "in (b)"),
        (["b", "e"], "in (d)"),
        (["a"], "in (a)"),
        (["a", "b", "d", "e"], "in (a)"),
        (["b", "c", "d", "e"], "in (c)"),
        ("b, d, e, f", "in (f)"),
        ("none", "none of the six"),
        ("all", "none of the six"),
        ([], "are 3 more"),
        (["g"], "none of the six"),
        ([1, 3], "this is an int"),
    ],
    "03.5": [
        ([Phase("head", lr=1e-2, epochs=8)], "layer4 never learns"),
        ([Phase(("layer4", "fc"), lr=1e-3, epochs=8)], "layer3 never learns"),
        ([Phase("all", lr=1e-3, epochs=15)], "15 epochs"),
        (Phase("all", lr=1e-3, epochs=5), "this is one phase"),
        ("fine-tuning", "no list"),
        ([], "no list"),
        ([("all", 1e-3, 5)], "no list"),
        ([Phase("layer9", lr=1e-3, epochs=5)], "layer9"),
        ([Phase(9, lr=1e-3, epochs=5)], "trainable=9"),
        ([Phase("all", lr=1e5, epochs=1)], "`fit` stopped"),
        ([Phase("all", lr=1e-5, epochs=1)], "are wanted in validation"),
        ([Phase("all", lr=1e-2, epochs=1)], "a lower rate"),
        ([Phase("all", lr=1e-5, epochs=5, head_lr=1e-2, update_batchnorm=True)], "`update_batchnorm=False`"),
    ],
}
