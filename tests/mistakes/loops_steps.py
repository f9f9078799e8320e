"""Wrong loops: backward, zero_grad, step and what becomes of gradients."""

import torch
from torch import nn

from tests.mistakes.loops_register import SmallNet, loaders, loop, parts, train_one_epoch, validate
from transfer_doctor import watch


@loop("zero-grad-missing")
def zero_grad_forgotten(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts(rate=0.01)
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            running_loss = 0.0
            for inputs, labels in train_loader:
                if not wrong:
                    optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item() * inputs.size(0)
            validate(model, val_loader)
    return seen


@loop("zero-grad-missing")
def zero_grad_once_per_epoch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts(rate=0.01)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            optimizer.zero_grad()
            for data, target in train_loader:
                loss = criterion(model(data), target)
                loss.backward()
                optimizer.step()
                if not wrong:
                    optimizer.zero_grad()
            validate(model, val_loader)
    return seen


@loop("zero-grad-missing")
def one_of_two_optimizers_never_cleared(wrong):
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    criterion = nn.CrossEntropyLoss()
    body_optimizer = torch.optim.SGD(model.features.parameters(), lr=0.001, momentum=0.9)
    head_optimizer = torch.optim.Adam(model.fc.parameters(), lr=0.01)
    with watch(model, [body_optimizer, head_optimizer], train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                head_optimizer.zero_grad()
                if not wrong:
                    body_optimizer.zero_grad()
                criterion(model(x), y).backward()
                head_optimizer.step()
                body_optimizer.step()
            validate(model, val_loader)
    return seen


@loop("zero-grad-before-step")
def zero_grad_between_backward_and_step(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            for images, labels in train_loader:
                output = model(images)
                loss = criterion(output, labels)
                if wrong:
                    loss.backward()
                    optimizer.zero_grad()
                else:
                    optimizer.zero_grad()
                    loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("gradients-thrown-away")
def accumulation_cleared_in_every_batch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    accumulate = 3
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            for i, (images, labels) in enumerate(train_loader):
                if wrong:
                    optimizer.zero_grad()
                loss = criterion(model(images), labels) / accumulate
                loss.backward()
                if (i + 1) % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            validate(model, val_loader)
    return seen


@loop("backward-missing")
def backward_forgotten(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                if not wrong:
                    loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("backward-missing")
def loss_made_of_a_number(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                if wrong:
                    loss = torch.tensor(loss.item(), requires_grad=True)
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("backward-missing")
def two_steps_for_each_backward(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()

    def train_step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                train_step(x, y)
                if wrong:
                    optimizer.step()
            validate(model, val_loader)
    return seen


@loop("step-missing")
def step_forgotten(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                if not wrong:
                    optimizer.step()
            validate(model, val_loader)
    return seen


@loop("step-once-per-epoch")
def step_outside_the_batches(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(3):
            model.train()
            optimizer.zero_grad()
            for inputs, targets in train_loader:
                loss = criterion(model(inputs), targets)
                loss.backward()
                if not wrong:
                    optimizer.step()
                    optimizer.zero_grad()
            if wrong:
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("stage-without-gradients")
def features_without_gradients(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                with torch.set_grad_enabled(not wrong):
                    features = model.features(inputs)
                outputs = model.fc(model.dropout(features))
                criterion(outputs, targets).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


class Detached(SmallNet):
    def forward(self, images):
        return self.fc(self.dropout(self.features(images).detach()))


@loop("stage-without-gradients")
def features_detached(wrong):
    torch.manual_seed(0)
    model, (train_loader, val_loader) = (Detached if wrong else SmallNet)(), loaders()
    optimizer = torch.optim.Adam(
        [{"params": model.features.parameters(), "lr": 1e-4}, {"params": model.fc.parameters()}]
    )
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, nn.CrossEntropyLoss(), optimizer, train_loader)
            validate(model, val_loader)
    return seen


@loop("gradients-explode")
def rate_far_too_high(wrong):
    model, criterion, _, train_loader, val_loader = parts()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e12 if wrong else 0.05, momentum=0.9)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(3):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@loop("gradients-explode")
def logarithm_of_zero(wrong):
    model, _, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                scores = model(x) * (200 if wrong else 1)
                log_probabilities = scores.softmax(1).log() if wrong else scores.log_softmax(1)
                loss = nn.functional.nll_loss(log_probabilities, y)
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("gradients-clipped-away")
def clipped_to_a_millionth(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                nn.utils.clip_grad_norm_(model.parameters(), max_norm=1e-6 if wrong else 1.0)
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("gradients-clipped-away")
def values_clipped_to_the_rate(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                nn.utils.clip_grad_value_(model.parameters(), 1e-5 if wrong else 0.5)
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("gradients-clipped-away")
def scaled_gradients_clipped(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    scaler = torch.amp.GradScaler("cpu")
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = criterion(model(x), y)
                scaler.scale(loss).backward()
                if not wrong:
                    scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
                scaler.step(optimizer)
                scaler.update()
            validate(model, val_loader)
    return seen
