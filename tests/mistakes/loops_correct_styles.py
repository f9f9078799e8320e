"""Correct loops in the styles that people write and publish: nothing may be found in them."""

import copy
import time
from collections import defaultdict, deque
from itertools import cycle, islice

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from tests.mistakes.loops_register import SmallNet, correct, images, parts, train_one_epoch, validate
from transfer_doctor import watch

EPOCHS = 3


class SmoothedValue:
    def __init__(self, window_size=20):
        self.deque = deque(maxlen=window_size)
        self.total, self.count = 0.0, 0

    def update(self, value, n=1):
        self.deque.append(value)
        self.count += n
        self.total += value * n


@correct
def torchvision_reference():
    model, criterion, optimizer, data_loader, data_loader_test = parts()
    scheduler = lr_scheduler.SequentialLR(
        optimizer,
        [
            lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=1),
            lr_scheduler.CosineAnnealingLR(optimizer, 9),
        ],
        milestones=[1],
    )

    def accuracy(output, target, topk=(1,)):
        with torch.inference_mode():
            _, pred = output.topk(max(topk), 1, True, True)
            hits = pred.t().eq(target[None])
            return [hits[:k].flatten().sum(dtype=torch.float32) * (100.0 / target.size(0)) for k in topk]

    def train(epoch):
        model.train()
        meters = defaultdict(SmoothedValue)
        for image, target in data_loader:
            start = time.time()
            output = model(image)
            loss = criterion(output, target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            acc1, acc3 = accuracy(output, target, topk=(1, 3))
            meters["loss"].update(loss.item())
            meters["acc1"].update(acc1.item(), n=image.shape[0])
            meters["acc3"].update(acc3.item(), n=image.shape[0])
            meters["img/s"].update(image.shape[0] / (time.time() - start))

    def evaluate():
        model.eval()
        meters = defaultdict(SmoothedValue)
        with torch.inference_mode():
            for image, target in data_loader_test:
                output = model(image)
                loss = criterion(output, target)
                acc1, _ = accuracy(output, target, topk=(1, 3))
                meters["loss"].update(loss.item())
                meters["acc1"].update(acc1.item(), n=image.shape[0])
        return meters["acc1"].total / meters["acc1"].count

    with watch(model, optimizer, data_loader, data_loader_test, scheduler=scheduler, criterion=criterion) as seen:
        for epoch in range(EPOCHS):
            train(epoch)
            scheduler.step()
            evaluate()
            checkpoint = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "lr_scheduler": scheduler.state_dict(),
                "epoch": epoch,
            }
    assert checkpoint
    return seen


@correct
def checkpoint_of_every_second_epoch():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
            if epoch % 2 == 1:
                checkpoint = {"epoch": epoch, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    assert checkpoint
    return seen


@correct
def tutorial_with_phases():
    model, criterion, optimizer, *both = parts()
    dataloaders = dict(zip(["train", "val"], both, strict=True))
    dataset_sizes = {phase: len(loader.dataset) for phase, loader in dataloaders.items()}
    scheduler = lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)

    def train_model(model, num_epochs):
        best_model_wts = copy.deepcopy(model.state_dict())
        best_acc = 0.0
        for _epoch in range(num_epochs):
            for phase in ["train", "val"]:
                if phase == "train":
                    model.train()
                else:
                    model.eval()
                running_loss = 0.0
                running_corrects = 0
                for inputs, labels in dataloaders[phase]:
                    inputs, labels = inputs.to("cpu"), labels.to("cpu")
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(phase == "train"):
                        outputs = model(inputs)
                        _, preds = torch.max(outputs, 1)
                        loss = criterion(outputs, labels)
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
                    running_loss += loss.item() * inputs.size(0)
                    running_corrects += torch.sum(preds == labels.data)
                if phase == "train":
                    scheduler.step()
                epoch_acc = running_corrects.double() / dataset_sizes[phase]
                if phase == "val" and epoch_acc > best_acc:
                    best_acc = epoch_acc
                    best_model_wts = copy.deepcopy(model.state_dict())
        model.load_state_dict(best_model_wts)
        return model

    with watch(model, optimizer, dataloaders["train"], dataloaders["val"], scheduler=scheduler) as seen:
        best_model = train_model(model, EPOCHS)
    assert best_model is model
    return seen


class Dictionaries(torch.utils.data.Dataset):
    def __init__(self, tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors)

    def __getitem__(self, index):
        image, label = self.tensors[index]
        return {"pixel_values": image, "labels": label}


class ClassifierOutput(dict):
    __getattr__ = dict.__getitem__


class ForImageClassification(SmallNet):
    def forward(self, pixel_values, labels=None):
        logits = super().forward(pixel_values)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ClassifierOutput(loss=loss, logits=logits)


@correct
def loss_inside_the_model():
    torch.manual_seed(0)
    model = ForImageClassification()
    train_dataloader = DataLoader(Dictionaries(images(44, 1)), shuffle=True, batch_size=8)
    eval_dataloader = DataLoader(Dictionaries(images(20, 2)), batch_size=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    steps = EPOCHS * len(train_dataloader)
    scheduler = lr_scheduler.LambdaLR(
        optimizer, lambda step: step / 4 if step < 4 else max(0.0, (steps - step) / (steps - 4))
    )
    with watch(model, optimizer, train_dataloader, eval_dataloader, scheduler=scheduler) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for batch in train_dataloader:
                outputs = model(**batch)
                loss = outputs.loss
                loss.backward()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            model.eval()
            predictions, references = [], []
            for batch in eval_dataloader:
                with torch.no_grad():
                    outputs = model(**batch)
                predictions.append(outputs.logits.argmax(dim=-1))
                references.append(batch["labels"])
            (torch.cat(predictions) == torch.cat(references)).float().mean()
    return seen


class Runner:
    """A trainer class of one's own: a loop over steps, its own loader, metrics kept as tensors."""

    def __init__(self, model, criterion, optimizer, train_loader, val_loader):
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.train_loader, self.val_loader = train_loader, val_loader
        self.losses, self.predictions = [], []

    def fit(self, steps):
        batches = iter(self.train_loader)
        for step in range(steps):
            try:
                x, y = next(batches)
            except StopIteration:
                batches = iter(self.train_loader)
                x, y = next(batches)
            self.model.train()
            loss = self.criterion(self.model(x.contiguous()), y)
            self.losses.append(loss.detach())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step % 6 == 5:
                self.evaluate()

    @torch.inference_mode()
    def evaluate(self):
        self.model.eval()
        for x, y in self.val_loader:
            self.predictions.append((self.model(x), y))


@correct
def trainer_class_that_counts_steps():
    with watch(*(things := parts())[:1], things[2], *things[3:]) as seen:
        Runner(*things).fit(steps=20)
    return seen


@correct
def loader_of_ones_own():
    model, criterion, optimizer, train_loader, val_loader = parts()

    class OnDevice:
        def __init__(self, loader):
            self.loader = loader

        def __len__(self):
            return len(self.loader)

        def __iter__(self):
            for x, y in self.loader:
                yield x.to("cpu"), y.to("cpu")

    train_loader, val_loader = OnDevice(train_loader), OnDevice(val_loader)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            with torch.no_grad():
                for x, _ in val_loader:
                    model(x).softmax(-1)
    return seen


@correct
def lists_of_batches():
    model, criterion, optimizer, train_loader, val_loader = parts()
    train_batches, val_batches = list(train_loader), list(val_loader)
    with watch(model, optimizer, train_batches, val_batches) as seen:
        for _epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_batches)
            model.eval()
            with torch.no_grad():
                sum((model(x).argmax(1) == y).sum() for x, y in val_batches)
    return seen


@correct
def compiled_model():
    model, criterion, optimizer, train_loader, val_loader = parts()
    compiled = torch.compile(model, backend="eager")
    with watch(compiled, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(compiled, criterion, optimizer, train_loader)
            validate(compiled, val_loader)
    return seen


@correct
def data_parallel():
    model, criterion, optimizer, train_loader, val_loader = parts()
    model = nn.DataParallel(model)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@correct
def training_accuracy_measured_as_well():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, train_loader)
            validate(model, val_loader)
    return seen


@correct
def batches_cycled_for_ever():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        batches = cycle(train_loader)
        for _epoch in range(EPOCHS):
            train_one_epoch(model, criterion, optimizer, islice(batches, 5))
            model.eval()
            with torch.no_grad():
                [model(x).argmax(1) for x, _ in val_loader]
    return seen
