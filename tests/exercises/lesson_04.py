"""Answers to the exercises of lesson 4: right ones, and plausible wrong ones with what each is told."""

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, StepLR
from torchvision.models import resnet18

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "fc")


def group(rate, *modules):
    return {"params": [p for module in modules for p in module.parameters()], "lr": rate}


def three_groups(m):
    return [
        group(1e-5, m.conv1, m.bn1, m.layer1, m.layer2),
        group(1e-4, m.layer3, m.layer4),
        group(1e-3, m.fc),
    ]


def as_generators(m):
    low = [{"params": module.parameters(), "lr": 1e-5} for module in (m.conv1, m.bn1, m.layer1, m.layer2)]
    middle = [{"params": module.parameters(), "lr": 1e-4} for module in (m.layer3, m.layer4)]
    return [*low, *middle, {"params": m.fc.parameters(), "lr": np.float64(1e-3)}]


def in_an_optimizer(m):
    return torch.optim.AdamW(three_groups(m))


def weights_alone(m):
    groups = three_groups(m)
    return [{**one, "params": [p for p in one["params"] if p.ndim > 1]} for one in groups]


def one_cycle(optimizer, epochs, batches, **given):
    peaks = given.pop("peaks", [one["lr"] for one in optimizer.param_groups])
    return OneCycleLR(optimizer, **{"max_lr": peaks, "total_steps": epochs * batches, "pct_start": 0.1} | given)


def with_epochs(optimizer, epochs, batches):
    rates = [one["lr"] for one in optimizer.param_groups]
    return OneCycleLR(optimizer, rates, epochs=epochs, steps_per_epoch=batches, pct_start=0.1)


def of_a_new_optimizer(optimizer, epochs, batches):
    layers = nn.Linear(2, 2), nn.Linear(2, 2)
    return one_cycle(torch.optim.SGD([group(1e-4, layers[0]), group(1e-3, layers[1])], momentum=0.9), epochs, batches)


def split(m, decays, amount=0.1):
    named = list(m.named_parameters())
    return [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": amount},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]


def by_modules(m):
    norms = [p for module in m.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()]
    rest = [p for p in m.parameters() if all(p is not norm for norm in norms)]
    groups = {0.0: [*norms, *[p for p in rest if p.ndim == 1]], 0.1: [p for p in rest if p.ndim > 1]}
    return [{"params": params, "weight_decay": decay} for decay, params in groups.items()]


def rates(*values):
    return dict(zip(STAGES, values, strict=True))


RIGHT = {
    "04.1": [2.5e-5, 0.0008 * 0.5**5, np.float32(2.5e-5), "0.000025", torch.tensor(2.5e-5)],
    "04.2": [three_groups, as_generators, in_an_optimizer],
    "04.3": [one_cycle, with_epochs, lambda *three: one_cycle(*three, anneal_strategy="linear")],
    "04.4": [lambda m: split(m, lambda _, p: p.ndim > 1), by_modules],
    "04.5": [rates(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3)],
}
WRONG = {
    "04.1": [
        (8e-4 / 64, "one factor too many"),
        (5e-5, "that is layer1"),
        (1e-4, "that is layer2"),
        (4e-4, "that is layer4"),
        (8e-4, "head's own rate"),
        (8e-5, "multiplied, five times 0.5"),
        (2e-3, "0.5 ** 5"),
        (0.0256, "fall toward the stem"),
        (0.03125, "that is the factor"),
        (2.5, "power of ten"),
        (2e-4, "too high"),
        (1e-7, "too low"),
        (-1e-5, "positive"),
        ([2.5e-5], "a list"),
        ("small", "a str"),
        (None, "None"),
    ],
    "04.2": [
        (lambda m: [group(1e-5, m.layer1, m.layer2), group(1e-4, m.layer3, m.layer4), group(1e-3, m.fc)], "conv1"),
        (lambda m: [group(1e-5, m.conv1, m.layer1, m.layer2), *three_groups(m)[1:]], "`bn1.weight`"),
        (lambda m: [group(1e-5, m), *three_groups(m)[1:]], "in two groups"),
        (lambda m: [group(1e-3, m)], "same rate"),
        (lambda m: [{**one, "lr": 1e-3 * 1e-5 / one["lr"]} for one in three_groups(m)], "`conv1.weight` gets the rate"),
        (lambda m: [*three_groups(m)[:2], {"params": list(m.fc.parameters())}], "no 'lr'"),
        (weights_alone, "are in no group"),
        (lambda m: three_groups(m)[:2], "`fc.weight`"),
        (lambda m: three_groups(resnet18(num_classes=4)), "not this model's"),
        (
            lambda m: [
                group(1e-5, m.conv1, m.bn1, m.layer1),
                group(1e-4, m.layer2, m.layer3, m.layer4),
                group(1e-3, m.fc),
            ],
            "`layer2.0.conv1.weight` gets the rate 0.0001",
        ),
        (lambda m: [{"params": [name for name, _ in m.named_parameters()], "lr": 1e-5}], "holds strs"),
        (lambda m: [{"lr": 1e-5}], "no 'params'"),
        (lambda m: list(m.parameters()), "no list of dictionaries"),
        (lambda m: [group(1e-5, m.stem)], "AttributeError"),
        (lambda m: None, "NoneType"),
        (three_groups(resnet18()), "a list"),
    ],
    "04.3": [
        (lambda o, e, b: one_cycle(o, e, b, peaks=1e-3), "both groups peak"),
        (lambda o, e, b: one_cycle(o, e, 1), "ends after"),
        (lambda o, e, b: one_cycle(o, 1, b), "ends after"),
        (lambda o, e, b: one_cycle(o, e, b, pct_start=0.3), "highest at step 12"),
        (lambda o, e, b: one_cycle(o, e, b, peaks=[1e-3, 1e-4]), "wrong way round"),
        (lambda o, e, b: one_cycle(o, e, b, peaks=[1e-3, 1e-2]), "own rates were"),
        (lambda o, e, b: one_cycle(o, e, 10 * b, pct_start=0.01), "longer than"),
        (lambda o, e, b: one_cycle(o, e, b, peaks=[1e-3]), "ValueError"),
        (lambda o, e, b: one_cycle(o, e, b, pct_start=10), "ValueError"),
        (lambda o, e, b: CosineAnnealingLR(o, T_max=e * b), "rises first"),
        (lambda o, e, b: StepLR(o, step_size=7), "rises first"),
        (lambda o, e, b: LinearLR(o, 0.1, total_iters=4), "longer than"),
        (of_a_new_optimizer, "another optimizer"),
        (lambda o, e, b: o, "a SGD"),
        (lambda o, e, b: None, "None"),
        (lambda o: OneCycleLR(o, 1e-3, total_steps=40), "calling it failed"),
    ],
    "04.4": [
        (lambda m: split(m, lambda name, _: "bias" not in name), "a BatchNorm2d, decays"),
        (lambda m: split(m, lambda name, _: "bn" not in name), "downsample.1"),
        (lambda m: split(m, lambda name, p: p.ndim > 1 or "downsample.1.weight" in name), "downsample.1"),
        (lambda m: split(m, lambda *_: True), "everything decays"),
        (lambda m: split(m, lambda *_: False), "nothing decays"),
        (lambda m: split(m, lambda _, p: p.ndim == 1), "`conv1`, a Conv2d, decays by 0"),
        (lambda m: split(m, lambda _, p: p.ndim > 1, 0.01), "decays by 0.01"),
        (lambda m: split(m, lambda name, p: p.ndim > 1 and "fc" not in name), "`fc`, a Linear"),
        (lambda m: split(m, lambda _, p: p.ndim == 4), "`fc`, a Linear"),
        (lambda m: split(m, lambda name, p: p.ndim > 1 or name == "fc.bias"), "the bias of `fc`"),
        (lambda m: split(m, lambda _, p: p.ndim > 1)[:1], "in no group"),
        (lambda m: [{"params": list(m.parameters()), "weight_decay": 0.1}], "everything decays"),
        (lambda m: [{"params": list(m.parameters())}], "nothing decays"),
        (lambda m: {"params": list(m.parameters())}, "a dict"),
        (lambda m: split(m, lambda name, p: isinstance(m[name], nn.Conv2d)), "TypeError"),
    ],
    "04.5": [
        (rates(0, 0, 0, 0, 0, 0), "nothing learns"),
        (rates(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0), "the head is new"),
        (rates(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, -1), "from 0 on"),
        (rates(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, float("nan")), "from 0 on"),
        ({"fc": 1e-3}, "no rate for 'stem'"),
        (rates(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3) | {"head": 1e-3}, "no stage 'head'"),
        ([1e-3] * 6, "a list"),
        (1e-3, "a float"),
        (rates("a", 0, 0, 0, 0, 1e-3), "a str"),
        (rates(1e-5, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5), "Try higher rates"),
        (rates(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), "Try lower rates"),
        (rates(0, 0, 0, 0, 0, 3e-3), "Try other stages"),
    ],
}
