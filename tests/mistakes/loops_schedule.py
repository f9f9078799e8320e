"""Wrong loops: the learning-rate scheduler."""

import torch
from torch.optim import lr_scheduler

from tests.mistakes.loops_register import loop, parts, train_one_epoch, validate
from transfer_doctor import watch

EPOCHS = 3


def _epochs(watched, train_loader, val_loader, schedulers, each_batch, first=False, **shown):
    """A loop whose schedulers step after each batch or each epoch."""
    model, criterion, optimizer = watched
    with watch(model, optimizer, train_loader, val_loader, **shown) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                criterion(model(images), labels).backward()
                if first and each_batch:
                    schedulers[0].step()
                optimizer.step()
                if each_batch and not first:
                    schedulers[0].step()
            validate(model, val_loader)
            if not each_batch:
                for scheduler in schedulers:
                    scheduler.step()
    return seen


@loop("scheduler-per-batch")
def step_lr_after_each_batch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.StepLR(watched[2], step_size=2, gamma=0.1)
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=wrong, scheduler=scheduler)


@loop("scheduler-per-batch")
def cosine_after_each_batch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.CosineAnnealingLR(watched[2], T_max=10)
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=wrong)


@loop("scheduler-per-batch")
def exponential_after_each_batch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.ExponentialLR(watched[2], gamma=0.9)
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=wrong, scheduler=scheduler)


@loop("scheduler-per-batch")
def lambda_after_each_batch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.LambdaLR(watched[2], lambda epoch: 0.5**epoch)
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=wrong)


@loop("scheduler-per-batch")
def plateau_after_each_batch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(2):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                if wrong:
                    scheduler.step(loss.item())
            accuracy = validate(model, val_loader)
            if not wrong:
                scheduler.step(1 - accuracy)
    return seen


@loop("scheduler-per-epoch")
def one_cycle_after_each_epoch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.OneCycleLR(watched[2], max_lr=0.1, epochs=EPOCHS + 2, steps_per_epoch=len(train_loader))
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=not wrong, scheduler=scheduler)


@loop("scheduler-per-epoch")
def cosine_over_batches_after_each_epoch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.CosineAnnealingLR(watched[2], T_max=EPOCHS * len(train_loader))
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=not wrong)


@loop("scheduler-per-epoch")
def warm_up_over_batches_after_each_epoch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.LambdaLR(watched[2], lambda step: min(1.0, step / 10))
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=not wrong, scheduler=scheduler)


@loop("scheduler-before-optimizer")
def scheduler_first_in_the_epoch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(2):
            if wrong:
                scheduler.step()
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
            if not wrong:
                scheduler.step()
    return seen


@loop("scheduler-before-optimizer")
def scheduler_before_the_step_of_each_batch(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.CosineAnnealingLR(watched[2], T_max=EPOCHS * len(train_loader))
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=True, first=wrong, scheduler=scheduler)


@loop("scheduler-never-stepped")
def scheduler_forgotten(wrong):
    *watched, train_loader, val_loader = parts()
    scheduler = lr_scheduler.StepLR(watched[2], step_size=1, gamma=0.5)
    steps = [] if wrong else [scheduler]
    return _epochs(watched, train_loader, val_loader, steps, each_batch=False, scheduler=scheduler)


@loop("several-schedulers")
def cosine_and_plateau_together(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    with watch(model, optimizer, train_loader, val_loader, scheduler=cosine) as seen:
        for _epoch in range(3):
            train_one_epoch(model, criterion, optimizer, train_loader)
            accuracy = validate(model, val_loader)
            cosine.step()
            if wrong:
                plateau.step(accuracy)
    return seen


@loop("several-schedulers")
def the_same_schedule_twice(wrong):
    *watched, train_loader, val_loader = parts()
    schedulers = [lr_scheduler.StepLR(watched[2], step_size=7) for _ in range(2 if wrong else 1)]
    return _epochs(watched, train_loader, val_loader, schedulers, each_batch=False)


@loop("several-schedulers")
def warm_up_that_undoes_the_decay(wrong):
    *watched, train_loader, val_loader = parts()
    decay = lr_scheduler.StepLR(watched[2], step_size=1, gamma=0.5)
    warm_up = lr_scheduler.LambdaLR(watched[2], lambda epoch: min(1.0, (epoch + 1) / 3))
    schedulers = [decay, warm_up] if wrong else [decay]
    assert isinstance(warm_up, torch.optim.lr_scheduler.LRScheduler)
    return _epochs(watched, train_loader, val_loader, schedulers, each_batch=False)


@loop("scheduler-per-epoch")
def linear_decay_over_batches_after_each_epoch(wrong):
    *watched, train_loader, val_loader = parts()
    steps = EPOCHS * len(train_loader)
    scheduler = lr_scheduler.LambdaLR(watched[2], lambda step: max(0.0, (steps - step) / steps))
    return _epochs(watched, train_loader, val_loader, [scheduler], each_batch=not wrong, scheduler=scheduler)
