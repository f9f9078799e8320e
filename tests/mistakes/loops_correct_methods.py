"""Correct loops of methods that freeze, average, mix or attack: nothing may be found in them."""

import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils
from torch.utils.data import DataLoader

from tests.mistakes.loops_register import SmallNet, correct, images, loaders, parts, train_one_epoch, validate
from transfer_doctor import watch

EPOCHS = 3


@correct
def moving_average_validated():
    model, criterion, optimizer, train_loader, val_loader = parts()
    average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
                average.update_parameters(model)
            validate(average, val_loader)
    return seen


@correct
def frozen_body_with_its_batchnorm_in_eval():
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    model.features.requires_grad_(False)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
            for x, y in train_loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y, label_smoothing=0.1).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def linear_probe_in_eval_mode_on_purpose():
    torch.manual_seed(0)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in ("fc.weight", "fc.bias")
    optimizer = torch.optim.SGD(model.fc.parameters(), 0.1, momentum=0.9)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.eval()
            for x, y in train_loader:
                output = model(x)
                loss = nn.functional.cross_entropy(output, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def probe_then_fine_tuning():
    model, criterion, _, train_loader, val_loader = parts()
    with watch(model, None, train_loader, val_loader) as seen:
        model.features.requires_grad_(False)
        optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.05)
        model.eval()
        for x, y in train_loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        validate(model, val_loader)
        model.features.requires_grad_(True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    return seen


@correct
def gradual_unfreezing():
    model, criterion, _, train_loader, val_loader = parts()
    model.features.requires_grad_(False)
    with watch(model, None, train_loader, val_loader) as seen:
        for epoch in range(EPOCHS):
            if epoch == 1:
                model.features.requires_grad_(True)
            optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-3)
            model.train()
            for module in model.features:
                module.train(epoch > 0)
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def mixed_images_with_two_losses():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                share, order = 0.7, torch.randperm(len(x))
                outputs = model(share * x + (1 - share) * x[order])
                loss = (1 - share) * criterion(outputs, y[order]) + share * criterion(outputs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def cut_and_mixed_images():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for x, y in train_loader:
                order = torch.randperm(len(x))
                x[:, :, 2:6, 2:6] = x[order, :, 2:6, 2:6]
                outputs = model(x)
                loss = criterion(outputs, y) * 0.94 + criterion(outputs, y[order]) * 0.06
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


@correct
def weights_averaged_at_the_end():
    model, criterion, optimizer, train_loader, val_loader = parts()
    average = swa_utils.AveragedModel(model)
    scheduler, constant = lr_scheduler.CosineAnnealingLR(optimizer, 4), swa_utils.SWALR(optimizer, swa_lr=0.02)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for epoch in range(4):
            train_one_epoch(model, criterion, optimizer, train_loader)
            if epoch > 1:
                average.update_parameters(model)
                constant.step()
            else:
                scheduler.step()
            validate(model, val_loader)
        swa_utils.update_bn(train_loader, average)
        validate(average, val_loader)
    return seen


@correct
def generator_and_discriminator():
    torch.manual_seed(0)
    train_loader, _ = loaders()
    generator = nn.Sequential(nn.Linear(8, 768), nn.Tanh())
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.LeakyReLU(), nn.Linear(32, 1))
    makes, judges = (torch.optim.Adam(each.parameters(), 2e-4) for each in (generator, discriminator))
    loss = nn.BCEWithLogitsLoss()
    with watch(discriminator, judges, train_loader) as seen:
        for _epoch in range(EPOCHS):
            for real, _ in train_loader:
                fake, ones = generator(torch.randn(len(real), 8)), torch.ones(len(real), 1)
                judges.zero_grad()
                (loss(discriminator(real), ones) + loss(discriminator(fake.detach()), 0 * ones)).backward()
                judges.step()
                makes.zero_grad()
                loss(discriminator(fake), ones).backward()
                makes.step()
    return seen


class MomentumContrast(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key = SmallNet(16), SmallNet(16)
        self.key.requires_grad_(False)

    def forward(self, one, other):
        with torch.no_grad():
            for mine, theirs in zip(self.key.parameters(), self.query.parameters(), strict=True):
                mine.data = mine.data * 0.99 + theirs.data * 0.01
            keys = nn.functional.normalize(self.key(other), dim=1)
        return nn.functional.normalize(self.query(one), dim=1) @ keys.T / 0.2


@correct
def momentum_copy_inside_the_model():
    torch.manual_seed(0)
    model, (train_loader, _) = MomentumContrast(), loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    with watch(model, optimizer, train_loader) as seen:
        for _epoch in range(2):
            model.train()
            for x, _ in train_loader:
                loss = nn.functional.cross_entropy(model(x, x.flip(-1)), torch.arange(len(x)))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return seen


@correct
def attacks_on_validation_images():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            model.eval()
            for x, y in val_loader:
                x = x.clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(criterion(model(x), y), x)
                with torch.no_grad():
                    model(x + 0.01 * gradient.sign())
    return seen


@correct
def unlabeled_images_beside_labeled_ones():
    model, criterion, optimizer, train_loader, val_loader = parts()
    unlabeled_loader = DataLoader(images(88, 9), 16, shuffle=True)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for (x, y), (u, _) in zip(train_loader, unlabeled_loader, strict=True):
                with torch.no_grad():
                    sure, guess = model(u).softmax(-1).max(-1)
                noisy = model(u + 0.1 * torch.randn_like(u))
                unsupervised = nn.functional.cross_entropy(noisy, guess, reduction="none") * (sure > 0.3)
                loss = criterion(model(x), y) + unsupervised.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            validate(model, val_loader)
    return seen


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.heads = SmallNet(16), nn.ModuleList([nn.Linear(16, 4), nn.Linear(16, 4)])

    def forward(self, x, task):
        return self.heads[task](self.body(x))


@correct
def two_tasks_in_turn():
    torch.manual_seed(0)
    model, (train_loader, val_loader) = TwoHeads(), loaders()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(EPOCHS):
            model.train()
            for i, (x, y) in enumerate(train_loader):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x, i % 2), y).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                [model(x, 0).argmax(1) for x, _ in val_loader]
    return seen
