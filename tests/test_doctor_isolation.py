"""The doctor changes nothing of what it is inputs."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Sampler

from helpers import diagnose
from tests.mistakes.small import CLASSES, pretrained, small_world
from transfer_doctor.catalogue import CHECKS
from transfer_doctor.diagnose import examine


class CountingSampler(Sampler):
    """Shuffles by its own generators and counts its epochs."""

    def __init__(self, length):
        self.length, self.passes = length, 0
        self.generator = torch.Generator().manual_seed(3)
        self.python = random.Random(4)
        self.numpy = np.random.default_rng(5)

    def __len__(self):
        return self.length

    def __iter__(self):
        self.passes += 1
        start = self.python.randrange(self.length) + int(self.numpy.integers(self.length))
        order = torch.randperm(self.length, generator=self.generator)
        return iter(((order + start + self.passes) % self.length).tolist())


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    world = small_world("resnet")
    model = world.model()
    for parameter in model.layer1.parameters():
        parameter.requires_grad = False
    model.layer2.eval()
    optimizer = torch.optim.SGD(world.two_groups(model, *world.rates), momentum=0.9, weight_decay=1e-4)
    train = world.loader("train")
    train = DataLoader(train.dataset, 8, sampler=CountingSampler(len(train.dataset)))
    images, labels = next(iter(world.loader("train")))
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [1e-3, 1e-2], total_steps=30)
    return {
        "model": model,
        "optimizer": optimizer,
        "train_loader": train,
        "val_loader": world.loader("val", generator=torch.Generator().manual_seed(1), shuffle=True),
        "scheduler": scheduler,
        "criterion": nn.CrossEntropyLoss(),
        "weights": pretrained("resnet").state_dict(),
        "classes": CLASSES,
    }


def snapshot(inputs):
    model, optimizer = inputs["model"], inputs["optimizer"]
    return copy.deepcopy(
        {
            "state": model.state_dict(),
            "gradients": [p.grad for p in model.parameters()],
            "requires": [p.requires_grad for p in model.parameters()],
            "modes": [module.training for module in model.modules()],
            "attributes": [sorted(vars(module)) for module in model.modules()],
            "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
            "optimizer": optimizer.state_dict(),
            "scheduler": {key: value for key, value in inputs["scheduler"].state_dict().items() if key[0] != "_"},
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),
            "python": random.getstate(),
        }
    )


def next_epoch(inputs):
    torch.manual_seed(11)
    batches = [batch for name in ("train_loader", "val_loader") for batch in inputs[name]]
    return [tensor.clone() for batch in batches for tensor in batch]


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("code", CHECKS)
def test_no_check_changes_anything(code, inputs):
    expected = next_epoch(copy.deepcopy(inputs))
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    before = snapshot(inputs)
    rest = {name: inputs[name] for name in ("scheduler", "criterion", "weights", "classes")}
    loaders = (inputs["train_loader"], inputs["val_loader"])
    diagnosis = examine(
        [CHECKS[code]], inputs["model"], inputs["optimizer"], loaders, {**rest, "preprocessing": None}, 1.0
    )
    assert not [reason for reason in diagnosis.not_checked.values() if "itself failed" in reason]
    assert same(before, snapshot(inputs))
    assert same(expected, next_epoch(inputs))


def test_hooks_of_the_learner_hear_nothing(inputs):
    heard = []
    inputs["model"].layer3.register_forward_hook(lambda *_: heard.append("forward"))
    inputs["model"].register_forward_pre_hook(lambda *_: heard.append("before"))
    diagnose(**inputs)
    assert heard == []
    assert len(inputs["model"].layer3._forward_hooks) == 1


def test_a_patched_train_method_that_knows_the_original_does_no_harm(inputs):
    model = inputs["model"]
    model.train = lambda mode=True: nn.Module.train(model.layer4, mode)
    modes = [module.training for module in model.modules()]
    diagnose(**inputs)
    assert modes == [module.training for module in model.modules()]


class Locked(IterableDataset):
    """Cannot be copied, and keeps its own count."""

    def __init__(self, pairs):
        self.pairs, self.count, self.handle = pairs, 0, (x for x in ())

    def __iter__(self):
        self.count += 1
        for index in torch.randperm(len(self.pairs)).tolist():
            yield self.pairs[index]


def test_a_loader_that_cannot_be_copied_is_put_back(inputs):
    loader = DataLoader(Locked(inputs["train_loader"].dataset), 8)
    torch.manual_seed(5)
    expected = [labels.tolist() for _, labels in loader]
    loader.dataset.count = 0
    diagnosis = diagnose(**{**inputs, "train_loader": loader})
    assert "loader-raises" not in diagnosis.codes
    assert loader.dataset.count == 0
    torch.manual_seed(5)
    assert [labels.tolist() for _, labels in loader] == expected


def test_a_generator_is_not_used_up(inputs):
    batches = (batch for batch in list(inputs["val_loader"])[:2])
    diagnosis = diagnose(inputs["model"], val_loader=batches)
    assert "one-shot iterator" in diagnosis.not_checked["loader-raises"]
    assert len(list(batches)) == 2


def test_a_list_of_batches_is_a_loader(inputs):
    assert "loader-raises" not in diagnose(inputs["model"], val_loader=list(inputs["val_loader"])).codes
