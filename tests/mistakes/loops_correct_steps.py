"""Correct loops whose steps, schedules or loaders are unusual: nothing may be found in them."""

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from tests.mistakes.loops_register import SmallNet, correct, loaders, parts, train_one_epoch, validate
from transfer_doctor import watch

EPOCHS = 3


@correct
def gradients_accumulated_on_purpose():
    model, criterion, optimizer, train_loader, val_loader = parts()
    accumulate = 4
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.9)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            optimizer.zero_grad(set_to_none=False)
            for i, (x, y) in enumerate(train_loader):
                loss = criterion(model(x), y) / accumulate
                loss.backward()
                if (i + 1) % accumulate == 0 or i + 1 == len(train_loader):
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=False)
            scheduler.step()
            validate(model, val_loader)
    return seen


@correct
def accumulation_that_leaves_a_rest():
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for i, (x, y) in enumerate(train_loader):
                (criterion(model(x), y) / 4).backward()
                if (i + 1) % 4 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            validate(model, val_loader)
            scheduler.step()
    return seen


@correct
def whole_epoch_accumulated_on_purpose():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            optimizer.zero_grad()
            for x, y in train_loader:
                (criterion(model(x), y) / len(train_loader)).backward()
            optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def mixed_precision_with_grad_scaler():
    model, criterion, optimizer, train_loader, val_loader = parts()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS * len(train_loader))
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = criterion(model(x), y)
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                scheduler.step()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                validate(model, val_loader)
    return seen


@correct
def warm_up_then_one_cycle_per_batch():
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=EPOCHS, steps_per_epoch=len(train_loader))
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
                scheduler.step()
            validate(model, val_loader)
    return seen


@correct
def detection_reference_warm_up_inside_the_first_epoch():
    model, criterion, optimizer, train_loader, val_loader = parts()
    main = lr_scheduler.MultiStepLR(optimizer, milestones=[8, 11], gamma=0.1)
    with watch(model, optimizer, train_loader, val_loader, scheduler=main) as seen:
        for epoch in range(EPOCHS):
            warm_up = None
            if epoch == 0:
                warm_up = lr_scheduler.LinearLR(optimizer, start_factor=1e-3, total_iters=len(train_loader) - 1)
            model.train()
            for x, y in train_loader:
                loss = criterion(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if warm_up is not None:
                    warm_up.step()
            main.step()
            validate(model, val_loader)
    return seen


@correct
def quasi_newton_with_a_closure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    train_loader, val_loader = loaders(batch_size=44)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:

                def closure(x=x, y=y):
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(model(x), y)
                    loss.backward()
                    return loss

                optimizer.step(closure)
            validate(model, val_loader)
    return seen


@correct
def steps_by_hand_without_an_optimizer():
    model, criterion, _, train_loader, val_loader = parts()
    with watch(model, train_loader=train_loader, val_loader=val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                criterion(model(x), y).backward()
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter -= 0.05 * parameter.grad
                        parameter.grad = None
            validate(model, val_loader)
    return seen


@correct
def sharpness_aware_steps():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                criterion(model(x), y).backward()
                with torch.no_grad():
                    moves = [(p, 0.05 * p.grad / (p.grad.norm() + 1e-12)) for p in model.parameters()]
                    for p, move in moves:
                        p.add_(move)
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                with torch.no_grad():
                    for p, move in moves:
                        p.sub_(move)
                optimizer.step()
                optimizer.zero_grad()
            validate(model, val_loader)
    return seen


@correct
def two_optimizers_in_turn():
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    body = torch.optim.SGD(model.features.parameters(), lr=0.01)
    head = torch.optim.Adam(model.fc.parameters(), lr=0.01)
    with watch(model, {"body": body, "head": head}, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for i, (x, y) in enumerate(train_loader):
                optimizer = (head, body)[i % 2]
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def schedules_chained_as_in_the_documentation():
    model, criterion, optimizer, train_loader, val_loader = parts()
    schedulers = [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.1)]
    with watch(model, optimizer, train_loader, val_loader, scheduler=schedulers) as seen:
        for _epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
            for scheduler in schedulers:
                scheduler.step()
    return seen


@correct
def restarts_at_fractions_of_an_epoch():
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for epoch in range(EPOCHS):
            model.train()
            for i, (x, y) in enumerate(train_loader):
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
                scheduler.step(epoch + i / len(train_loader))
            validate(model, val_loader)
    return seen


@correct
def scheduler_of_another_library():
    from timm.scheduler import CosineLRScheduler

    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = CosineLRScheduler(optimizer, t_initial=10, warmup_t=2, warmup_lr_init=1e-4)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
            scheduler.step(epoch + 1)
    return seen


@correct
def validation_within_the_epoch():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            for i, (x, y) in enumerate(train_loader):
                model.train()
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
                if i % 3 == 2:
                    validate(model, val_loader)
    return seen


@correct
def workers_that_stay():
    model, criterion, optimizer, train_loader, val_loader = parts()
    train_loader = DataLoader(train_loader.dataset, 8, shuffle=True, num_workers=2, persistent_workers=True)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen
