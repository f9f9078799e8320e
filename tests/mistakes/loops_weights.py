"""Wrong loops: frozen weights, copies and references."""

import copy

import torch
from torch import nn

from tests.mistakes.loops_register import SmallNet, loaders, loop, parts, train_one_epoch, validate
from transfer_doctor import watch


@loop("frozen-batchnorm-drifted")
def batchnorm_of_the_frozen_part_in_train_mode(wrong):
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    for parameter in model.features.parameters():
        parameter.requires_grad = False
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            if not wrong:
                model.features.eval()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("frozen-weights-moved")
def frozen_in_the_middle_with_old_gradients(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for epoch in range(2):
            model.train()
            if epoch == 1:
                for parameter in model.features.parameters():
                    parameter.requires_grad = False
                    if not wrong:
                        parameter.grad = None
            if epoch == 1:
                model.features.eval()
            for x, y in train_loader:
                optimizer.zero_grad(set_to_none=not wrong)
                criterion(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("frozen-weights-moved")
def frozen_by_zeroing_the_gradients(wrong):
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    optimizer = torch.optim.SGD(model.parameters() if wrong else model.fc.parameters(), lr=0.05, weight_decay=1e-2)
    criterion = nn.CrossEntropyLoss()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            model.features.eval()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                if wrong:
                    for parameter in model.features.parameters():
                        parameter.grad.zero_()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("best-weights-by-reference")
def best_weights_not_copied(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()

    def train_model():
        best_acc, best_weights = -1.0, None
        for _epoch in range(3):
            train_one_epoch(model, criterion, optimizer, train_loader)
            accuracy = validate(model, val_loader)
            if accuracy > best_acc:
                best_acc = accuracy
                best_weights = model.state_dict() if wrong else copy.deepcopy(model.state_dict())
        model.load_state_dict(best_weights)
        return model

    with watch(model, optimizer, train_loader, val_loader) as seen:
        train_model()
    return seen


@loop("best-weights-by-reference")
def best_weights_in_a_shallow_copy(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    best_acc, best_state = -1.0, {}
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            if validate(model, val_loader) > best_acc and not best_state:
                best_state = {k: v if wrong else v.clone() for k, v in model.state_dict().items()}
    return seen


@loop("best-weights-by-reference")
def best_model_is_the_model(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    best_accuracy, best_model = -1.0, None
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            accuracy = validate(model, val_loader)
            if accuracy > best_accuracy:
                best_accuracy, best_model = accuracy, model if wrong else copy.deepcopy(model)
    assert best_model is not None
    return seen


@loop("another-model-trained")
def copy_trained_with_its_own_optimizer(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()

    def train(model, optimizer):
        if wrong:
            model = copy.deepcopy(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)

    with watch(model, optimizer, train_loader, val_loader) as seen:
        train(model, optimizer)
        validate(model, val_loader)
    return seen


@loop("another-model-trained")
def optimizer_of_the_model_before_the_copy(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    trained = copy.deepcopy(model) if wrong else model
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(trained, criterion, optimizer, train_loader)
            validate(trained, val_loader)
    return seen


@loop("another-model-trained")
def optimizer_made_before_the_model(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    model = SmallNet() if wrong else model
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@loop("another-model-trained")
def copy_validated(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    eval_model = copy.deepcopy(model) if wrong else model
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(eval_model, val_loader)
    return seen
