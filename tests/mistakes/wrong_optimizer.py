"""Mistakes in the optimizer and its schedule."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import lr_scheduler

from helpers.models.heads import replace_head
from helpers.models.stages import freeze, parameter_groups
from tests.mistakes.mistakes import mistake
from tests.mistakes.worlds import Setup, World

EPOCHS = 5


def _setup(world: World, model: nn.Module, optimizer: torch.optim.Optimizer, **fields: object) -> Setup:
    return Setup(model, optimizer, **{"classes": world.classes, **world.loaders(), **fields})


def _tuned(world: World, model: nn.Module) -> torch.optim.Optimizer:
    return world.optimizer(world.two_groups(model, *world.rates))


@mistake("foreign-parameters")
def optimizer_before_the_new_head(world: World, wrong: bool) -> Setup:
    model = world.model(head=False)
    early = world.optimizer(model.parameters())
    replace_head(model, len(world.classes), seed=world.seed)
    return _setup(world, model, early if wrong else world.optimizer(model.parameters()))


@mistake("foreign-parameters")
def model_built_again(world: World, wrong: bool) -> Setup:
    first, second = world.model(), world.model()
    return _setup(world, second, _tuned(world, first if wrong else second))


@mistake("parameters-not-in-optimizer")
def unfrozen_after_the_optimizer(world: World, wrong: bool) -> Setup:
    model = world.model()
    freeze(model)
    optimizer = world.optimizer([p for p in model.parameters() if p.requires_grad], lr=world.rates[0])
    for parameter in model.parameters():
        parameter.requires_grad = True
    model.__class__.train(model)
    return _setup(world, model, optimizer if wrong else _tuned(world, model))


@mistake("parameters-not-in-optimizer")
def head_forgotten(world: World, wrong: bool) -> Setup:
    model = world.model()
    groups = world.two_groups(model, *world.rates)
    return _setup(world, model, world.optimizer(groups[:1] if wrong else groups))


@mistake("parameter-twice")
def head_in_both_groups(world: World, wrong: bool) -> Setup:
    model = world.model()
    optimizer = _tuned(world, model)
    if wrong:
        optimizer.param_groups[0]["params"].extend(optimizer.param_groups[1]["params"])
    return _setup(world, model, optimizer)


@mistake("frozen-in-optimizer")
def frozen_but_held(world: World, wrong: bool) -> Setup:
    model = world.model()
    freeze(model)
    learning = [p for p in model.parameters() if p.requires_grad]
    return _setup(world, model, world.optimizer(model.parameters() if wrong else learning, lr=world.rates[0]))


@mistake("rate-too-high")
def rate_for_training_from_scratch(world: World, wrong: bool) -> Setup:
    model = world.model()
    high = 0.3 if world.family == "sgd" else 2e-2
    return _setup(world, model, world.optimizer(model.parameters(), lr=high) if wrong else _tuned(world, model))


@mistake("rate-too-low")
def one_ten_millionth(world: World, wrong: bool) -> Setup:
    model = world.model()
    return _setup(world, model, world.optimizer(world.two_groups(model, 1e-7, 1e-8)) if wrong else _tuned(world, model))


@mistake("rate-too-low")
def the_function_returns_a_rate_instead_of_a_factor(world: World, wrong: bool) -> Setup:
    model = world.model()
    head, body = world.rates
    if world.family == "sgd":
        head, body = head / 10, body / 10
    optimizer = world.optimizer(
        world.two_groups(model, head / 10, body / 10) if wrong else world.two_groups(model, *world.rates)
    )
    factor = 1e-4 if wrong else 1.0
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: factor * 0.9**epoch)
    return _setup(world, model, optimizer, scheduler=scheduler)


@mistake("rate-too-low")
def the_function_returns_the_rate_of_the_optimizer(world: World, wrong: bool) -> Setup:
    model = world.model()
    optimizer = _tuned(world, model)
    rate = optimizer.param_groups[-1]["lr"]
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: (rate if wrong else 1.0) * 0.9**epoch)
    return _setup(world, model, optimizer, scheduler=scheduler)


@mistake("weight-decay-too-high")
def weight_decay_of_ten(world: World, wrong: bool) -> Setup:
    model = world.model()
    groups = world.two_groups(model, *world.rates)
    return _setup(world, model, world.optimizer(groups, weight_decay=10.0 if wrong else 1e-4))


@mistake("half-precision-weights", trains=False)
def model_in_half_precision(world: World, wrong: bool) -> Setup:
    model = world.model().half() if wrong else world.model()
    return _setup(world, model, torch.optim.Adam(model.parameters(), lr=1e-4))


@mistake("rates-rise-toward-stem")
def rates_the_wrong_way_round(world: World, wrong: bool) -> Setup:
    model = world.model()
    head, body = world.rates
    groups = world.two_groups(model, *((body, head) if wrong else (head, body)))
    if wrong and world.family == "sgd":
        groups = world.two_groups(model, body / 10, body)
    return _setup(world, model, world.optimizer(groups))


@mistake("decay-on-norms", only=("resnet", "mobilenet", "efficientnet", "vit"))
def one_decay_for_everything(world: World, wrong: bool) -> Setup:
    model = world.model()
    groups = parameter_groups(model, world.rates[1], weight_decay=1e-2)
    everything = [{"params": list(model.parameters()), "weight_decay": 1e-2}]
    return _setup(world, model, world.optimizer(everything if wrong else groups))


@mistake("scheduler-of-another-optimizer")
def scheduler_of_an_earlier_optimizer(world: World, wrong: bool) -> Setup:
    model = world.model()
    earlier, optimizer = _tuned(world, model), _tuned(world, model)
    scheduler = lr_scheduler.StepLR(earlier if wrong else optimizer, step_size=2, gamma=0.1)
    return _setup(world, model, optimizer, scheduler=scheduler)


@mistake("scheduler-misses-groups", trains=False)
def group_added_after_the_scheduler(world: World, wrong: bool) -> Setup:
    model = world.model()
    body, head = world.two_groups(model, *world.rates)
    optimizer = world.optimizer([head])
    early = lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    optimizer.add_param_group(body)
    if not wrong:
        optimizer = _tuned(world, model)
        early = lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    return _setup(world, model, optimizer, scheduler=early)


@mistake("schedule-flattens-rates")
def one_cycle_with_one_rate(world: World, wrong: bool) -> Setup:
    model = world.model()
    optimizer = _tuned(world, model)
    rates = [group["lr"] for group in optimizer.param_groups]
    loaders = world.loaders()
    steps = EPOCHS * len(loaders["train_loader"])
    scheduler = lr_scheduler.OneCycleLR(optimizer, min(rates) if wrong else rates, total_steps=steps)
    return _setup(world, model, optimizer, scheduler=scheduler, **loaders)


@mistake("epochs-counted-in-batches", trains=False)
def cosine_of_five_epochs_stepped_per_batch(world: World, wrong: bool) -> Setup:
    model = world.model()
    optimizer = _tuned(world, model)
    loaders = world.loaders()
    batches = len(loaders["train_loader"])
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(batches if wrong else 1):
        optimizer.step()
        scheduler.step()
    return _setup(world, model, optimizer, scheduler=scheduler, **loaders)


@mistake("schedule-length")
def steps_counted_in_images(world: World, wrong: bool) -> Setup:
    model = world.model()
    optimizer = _tuned(world, model)
    rates = [group["lr"] for group in optimizer.param_groups]
    loaders = world.loaders()
    train = loaders["train_loader"]
    per_epoch = len(train.dataset) if wrong else len(train)
    scheduler = lr_scheduler.OneCycleLR(optimizer, rates, epochs=EPOCHS, steps_per_epoch=per_epoch)
    return _setup(world, model, optimizer, scheduler=scheduler, **loaders)
