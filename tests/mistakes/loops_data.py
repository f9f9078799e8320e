"""Wrong loops: which images, which labels, which numbers."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.mistakes.loops_register import images, loop, parts, train_one_epoch, validate
from transfer_doctor import watch


@loop("trained-on-validation")
def backward_in_both_phases(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    loaders = {"train": train_loader, "val": val_loader}
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            for phase in ["train", "val"]:
                model.train() if phase == "train" else model.eval()
                for inputs, labels in loaders[phase]:
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(wrong or phase == "train"):
                        outputs = model(inputs)
                        loss = criterion(outputs, labels)
                        if wrong or phase == "train":
                            loss.backward()
                            optimizer.step()
    return seen


@loop("trained-on-validation")
def training_loop_over_the_wrong_loader(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            if wrong:
                train_one_epoch(model, criterion, optimizer, val_loader)
            validate(model, val_loader)
    return seen


@loop("validated-on-training")
def validation_reads_the_training_loader(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, train_loader if wrong else val_loader)
    return seen


@loop("validated-on-training")
def one_loader_for_both(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    val_loader = train_loader if wrong else val_loader
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@loop("labels-shuffled")
def labels_permuted_alone(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                order = torch.randperm(len(x))
                y = y[order]
                if not wrong:
                    x = x[order]
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("labels-shuffled")
def labels_of_another_iterator(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for (x, own), (_, other) in zip(train_loader, train_loader, strict=True):
                optimizer.zero_grad()
                criterion(model(x), other if wrong else own).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("labels-shuffled")
def labels_sorted_after_normalizing_the_images(wrong):
    model, _criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                x = (x - 0.45) / 0.22
                if wrong:
                    y, _ = torch.sort(y)
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("validated-on-training")
def two_loaders_of_one_data_set(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    val_loader = DataLoader(train_loader.dataset if wrong else val_loader.dataset, batch_size=16)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@loop("test-data-every-epoch")
def test_images_in_every_epoch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    test_loader = DataLoader(images(16, 3), batch_size=8)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
            if wrong:
                validate(model, test_loader)
        validate(model, test_loader)
    return seen


@loop("accuracy-of-batches")
def accuracies_added_up(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            accuracy, total = 0.0, 0
            with torch.no_grad():
                for x, y in val_loader:
                    hits = (model(x).argmax(dim=1) == y).float()
                    accuracy += hits.mean().item() if wrong else hits.sum().item()
                    total += 1 if wrong else len(y)
            accuracy /= total
    return seen


@loop("accuracy-of-batches")
def accuracies_in_a_list(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()

    def evaluate():
        model.eval()
        accuracies, hits = [], 0
        with torch.inference_mode():
            for x, y in val_loader:
                predicted = model(x).max(1)[1]
                if wrong:
                    accuracies.append(100 * (predicted == y).sum().item() / y.size(0))
                hits += (predicted == y).sum()
        return sum(accuracies) / len(accuracies) if wrong else hits / len(val_loader.dataset)

    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            evaluate()
    return seen


class AverageMeter:
    def __init__(self):
        self.sum = self.count = self.avg = 0

    def update(self, value, n=1):
        self.sum += value * n
        self.count += n
        self.avg = self.sum / self.count


@loop("accuracy-of-batches")
def meter_without_the_size(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            top1 = AverageMeter()
            with torch.no_grad():
                for x, y in val_loader:
                    acc = (model(x).argmax(1) == y).float().mean().item() * 100
                    top1.update(acc) if wrong else top1.update(acc, x.size(0))
    return seen


@loop("softmax-wrong-axis")
def softmax_over_the_batch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            correct = 0
            with torch.no_grad():
                for x, y in val_loader:
                    probabilities = torch.softmax(model(x), dim=0 if wrong else 1)
                    correct += (probabilities.argmax(1) == y).sum().item()
    return seen


@loop("softmax-wrong-axis")
def loss_of_a_softmax_over_the_batch(wrong):
    model, _, optimizer, train_loader, val_loader = parts()
    criterion = nn.NLLLoss()
    log_softmax = nn.LogSoftmax(dim=0 if wrong else -1)
    with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
        for _epoch in range(2):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(log_softmax(model(x)), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@loop("softmax-wrong-axis")
def argmax_over_the_batch(wrong):
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            predictions = []
            with torch.no_grad():
                for x, _ in val_loader:
                    _, predicted = torch.max(model(x).data, 0 if wrong else 1)
                    predictions.append(predicted)
    return seen
