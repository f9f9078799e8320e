"""The learning-rate finder: where the loss falls and diverges, groups, errors, and that nothing is changed."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import HelpersError, find_lr, load_task, make_loaders
from helpers.data.preprocessing import IMAGENET

SIZE = 16


@pytest.fixture
def loader():
    preprocessing = IMAGENET.with_size(SIZE)
    return make_loaders(load_task("flowers", classes=3, size=SIZE), preprocessing, batch_size=8, augment="flip").train


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(8 * 7 * 7, 3))


def groups(model, low=1e-3, high=1e-2):
    return [{"params": model[0].parameters(), "lr": low}, {"params": model[1].parameters(), "lr": high}]


def test_the_loss_falls_then_diverges_and_the_suggestion_is_a_tenth_of_the_lowest(model, loader) -> None:
    curve = find_lr(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), loader, highest=100.0)
    assert len(curve.rates) == len(curve.losses) < 100
    assert curve.rates[0] == pytest.approx(1e-6)
    assert min(curve.losses) < 0.8 * curve.losses[0]
    assert curve.losses[-1] > 1.5 * min(curve.losses)
    assert curve.suggestion == pytest.approx(curve.rates[curve.losses.index(min(curve.losses))] / 10)


def test_groups_are_scaled_together(model, loader) -> None:
    """With ratios of 0 and 1 the first group cannot move; with its rate given, it takes the loss further down."""
    both = find_lr(model, torch.optim.SGD(groups(model, low=1e-2)), loader, highest=1e-2)
    head_alone = find_lr(model, torch.optim.SGD(groups(model, low=0.0)), loader, highest=1e-2)
    tenfold = find_lr(model, torch.optim.SGD(groups(model, low=0.0, high=0.1)), loader, highest=1e-2)
    assert head_alone == tenfold
    assert both.rates == head_alone.rates
    assert min(both.losses) < min(head_alone.losses)


def everything(model, optimizer, loader):
    """All that a search could change, as bytes and numbers."""
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    state = optimizer.state_dict()
    tensors += [value for one in state["state"].values() for value in one.values() if isinstance(value, torch.Tensor)]
    sampler = loader.sampler
    place = sampler.generator.get_state() if hasattr(sampler, "generator") else torch.tensor(sampler.epoch)
    randoms = torch.get_rng_state(), torch.from_numpy(np.random.get_state()[1].copy()), place
    modes = [(module.training, len(vars(module))) for module in model.modules()]
    return [tensor.clone() for tensor in (*tensors, *randoms)], modes, state["param_groups"], random.getstate()


@pytest.mark.parametrize("own_generator", [False, True])
def test_everything_stays_bit_identical(model, loader, own_generator) -> None:
    if own_generator:
        images, labels = next(iter(loader))
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(TensorDataset(images, labels), 4, shuffle=True, generator=generator)
    optimizer = torch.optim.AdamW(groups(model))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=[1e-3, 1e-2], total_steps=10)
    for images, labels in loader:  # with momentum, gradients left over, and an epoch behind it
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model[0].eval()
    tensors, *rest = everything(model, optimizer, loader)
    find_lr(model, optimizer, loader, steps=30)
    tensors_after, *rest_after = everything(model, optimizer, loader)
    assert rest == rest_after
    assert all(torch.equal(before, after) for before, after in zip(tensors, tensors_after, strict=True))
    assert scheduler.last_epoch == 0


def test_the_same_search_gives_the_same_curve(model, loader) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    torch.manual_seed(1)
    first = find_lr(model, optimizer, loader, steps=30)
    assert first == find_lr(model, optimizer, loader, steps=30)


def test_a_range_that_begins_too_high_or_makes_no_sense_is_an_error(model, loader) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(HelpersError, match="does not fall from a rate of 10 on"):
        find_lr(model, optimizer, loader, lowest=10.0, highest=1e4)
    with pytest.raises(HelpersError, match="0 < lowest < highest"):
        find_lr(model, optimizer, loader, lowest=1.0)
    with pytest.raises(HelpersError, match="a rate above 0"):
        find_lr(model, torch.optim.SGD(groups(model, 0.0, 0.0)), loader)
