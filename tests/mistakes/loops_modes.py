"""Wrong loops: train and eval mode, graphs that are kept."""

import torch
from torch import nn

from tests.mistakes.loops_register import loop, parts, train_one_epoch, validate
from transfer_doctor import watch


@loop("trained-in-eval-mode")
def train_called_once_before_the_epochs(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    model.train()
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            if not wrong:
                model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for images, labels in val_loader:
                    criterion(model(images), labels)
    return seen


@loop("trained-in-eval-mode")
def eval_from_the_start(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    model.eval()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            if not wrong:
                model.train()
            for images, labels in train_loader:
                optimizer.zero_grad()
                criterion(model(images), labels).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("validated-in-train-mode")
def eval_forgotten(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            if not wrong:
                model.eval()
            correct = 0
            with torch.no_grad():
                for images, labels in val_loader:
                    _, predicted = torch.max(model(images), 1)
                    correct += (predicted == labels).sum().item()
    return seen


@loop("validated-in-train-mode")
def dropout_while_validating(wrong):
    torch.manual_seed(0)
    _, criterion, _, train_loader, val_loader = parts()
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.train(wrong)
            with torch.inference_mode():
                losses = [criterion(model(x), y).item() for x, y in val_loader]
            sum(losses)
    return seen


@loop("validated-with-gradients")
def no_grad_forgotten(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            val_loss = 0
            with torch.set_grad_enabled(wrong):
                for images, labels in val_loader:
                    val_loss += criterion(model(images), labels).item()
    return seen


@loop("validated-with-gradients")
def validation_losses_kept_with_their_graphs(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            val_loss = 0
            with torch.set_grad_enabled(wrong):
                for images, labels in val_loader:
                    val_loss += criterion(model(images), labels)
            val_loss = val_loss / len(val_loader)
    return seen


@loop("graphs-kept")
def running_loss_with_its_graph(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            running_loss = 0.0
            for images, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                loss.backward()
                optimizer.step()
                running_loss += loss if wrong else loss.item()
            validate(model, val_loader)
    return seen


@loop("graphs-kept")
def outputs_in_a_list(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            all_outputs = []
            for images, labels in train_loader:
                optimizer.zero_grad()
                outputs = model(images)
                criterion(outputs, labels).backward()
                optimizer.step()
                all_outputs.append(outputs if wrong else outputs.detach())
            validate(model, val_loader)
    return seen
