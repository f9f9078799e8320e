"""`watch` changes no number, takes itself off, and works under other people's loops."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.overrides import _get_current_function_mode
from torch.utils.data import DataLoader

from tests.mistakes.loops_register import SmallNet, loaders, parts, train_one_epoch, validate
from transfer_doctor import diagnose, watch


def train(watched, workers=0, epochs=2):
    """Train with dropout, momentum, a schedule and shuffling; return all that could have changed."""
    random.seed(0)
    np.random.seed(0)
    model, criterion, optimizer, train_loader, val_loader = parts()
    train_loader = DataLoader(train_loader.dataset, 8, shuffle=True, num_workers=workers)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * len(train_loader))
    seen = watch(model, optimizer, train_loader, val_loader, scheduler=scheduler, criterion=criterion)
    accuracies = []

    def loop():
        for _epoch in range(epochs):
            model.train()
            for x, y in train_loader:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
            accuracies.append(validate(model, val_loader))

    if watched:
        with seen:
            loop()
    else:
        loop()
    state = [*model.state_dict().values(), *(s["momentum_buffer"] for s in optimizer.state.values())]
    drawn = [torch.get_rng_state(), torch.rand(3), torch.tensor(random.random()), torch.tensor(np.random.rand())]
    return state + drawn, accuracies, scheduler.state_dict(), seen


@pytest.mark.parametrize("workers", [0, 2])
def test_no_number_changes(workers):
    plain, plain_accuracies, plain_schedule, _ = train(False, workers)
    watched, accuracies, schedule, seen = train(True, workers)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert accuracies == plain_accuracies
    assert schedule == plain_schedule
    assert not seen.diagnosis.findings, seen


def hooks(*modules):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks")
    return [len(getattr(module, kind)) for parent in modules for module in parent.modules() for kind in kinds] + [
        len(p._backward_hooks or ()) for parent in modules for p in parent.parameters()
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_taken_off(fails):
    model, criterion, optimizer, train_loader, val_loader = parts()
    methods = DataLoader.__iter__, lr_scheduler.LRScheduler.step, lr_scheduler.ReduceLROnPlateau.step
    with pytest.raises(ZeroDivisionError) if fails else torch.enable_grad():  # noqa: SIM117
        with watch(model, optimizer, train_loader, val_loader, criterion=criterion) as seen:
            train_one_epoch(model, criterion, optimizer, train_loader)
            if fails:
                _ = 1 / 0
    assert methods == (DataLoader.__iter__, lr_scheduler.LRScheduler.step, lr_scheduler.ReduceLROnPlateau.step)
    assert not any(hooks(model, criterion))
    assert _get_current_function_mode() is None
    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks
    train_one_epoch(model, criterion, optimizer, train_loader)
    assert seen.gradients.steps == len(train_loader)


def test_a_model_that_raises_leaves_nothing_behind():
    model, criterion, optimizer, train_loader, _ = parts()
    with watch(model, optimizer, train_loader) as seen:
        with pytest.raises(RuntimeError):
            model(torch.zeros(2, 5, 16, 16))
        train_one_epoch(model, criterion, optimizer, train_loader)
    assert _get_current_function_mode() is None
    assert "zero-grad-missing" not in seen.diagnosis.not_checked


def test_copies_and_pickles_made_in_the_block_are_plain():
    model, criterion, optimizer, train_loader, val_loader = parts()
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        train_one_epoch(model, criterion, optimizer, train_loader)
        best = copy.deepcopy(model)
        again = pickle.loads(pickle.dumps(model))
        copy.deepcopy([train_loader, scheduler, optimizer])
        state = scheduler.state_dict()
    validate(best, val_loader)
    validate(again, val_loader)
    assert len(seen.record.calls) == len(train_loader)
    assert state == scheduler.state_dict()


def test_findings_name_epoch_and_batch_and_the_first_line_counts_checks():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            with torch.no_grad():
                for x, _ in val_loader:
                    model(x)
    (finding,) = seen.diagnosis.findings
    assert finding.code == "validated-in-train-mode"
    assert "validation after epoch 1, batch 1" in finding.evidence
    assert f"{len(seen.diagnosis.not_checked)} not done" in repr(seen).splitlines()[0]
    assert finding.verdict in seen._repr_html_()


def test_what_cannot_be_watched_silences_nothing_else():
    model, criterion, optimizer, train_loader, _ = parts()

    def endless():
        while True:
            yield from train_loader

    def epoch():
        model.train()
        for (x, y), _ in zip(batches, range(12), strict=False):
            criterion(model(x), y).backward()
            optimizer.step()

    batches = endless()
    with watch(nn.DataParallel(model), [optimizer], batches, (None for _ in ()), scheduler=object()) as seen:
        epoch()
    assert "zero-grad-missing" in seen.diagnosis.codes
    assert "validated-in-train-mode" in seen.diagnosis.not_checked


def test_batches_in_a_list_are_told_apart():
    model, criterion, optimizer, train_loader, val_loader = parts()
    train_batches, val_batches = list(train_loader), list(val_loader)
    with watch(model, optimizer, train_batches, val_batches) as seen:
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_batches)
            for x, _ in val_batches:
                model(x)
    assert set(seen.diagnosis.codes) == {"validated-in-train-mode", "validated-with-gradients"}
    assert "after epoch 2" not in seen.diagnosis.findings[0].evidence


class Arrays:
    """A loader that hands out dictionaries of NumPy arrays."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter([{"image": x.numpy(), "label": y.numpy()} for x, y in self.loader])


def test_batches_of_arrays_are_told_apart():
    model, criterion, optimizer, train_loader, val_loader = parts()
    train_loader, val_loader = Arrays(train_loader), Arrays(val_loader)
    with watch(model, optimizer, train_loader, val_loader) as seen:
        for _epoch in range(2):
            model.train()
            for batch in train_loader:
                optimizer.zero_grad()
                criterion(model(torch.from_numpy(batch["image"])), torch.from_numpy(batch["label"])).backward()
                optimizer.step()
            with torch.no_grad():
                for batch in val_loader:
                    model(torch.from_numpy(batch["image"]))
    assert seen.diagnosis.codes == ("validated-in-train-mode",)


def accelerated(wrong):
    from accelerate import Accelerator

    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model, (train_loader, val_loader) = SmallNet(), loaders()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * len(train_loader))
    things = accelerator.prepare(model, optimizer, train_loader, val_loader, scheduler)
    model, optimizer, train_loader, val_loader, scheduler = things
    with watch(model, optimizer, train_loader, val_loader, scheduler=scheduler) as seen:
        for _epoch in range(3):
            model.train()
            for x, y in train_loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    scheduler.step()
                    if not wrong:
                        optimizer.zero_grad()
            validate(model, val_loader)
    return seen


def test_accelerate():
    assert not accelerated(wrong=False).diagnosis.findings
    assert accelerated(wrong=True).diagnosis.codes == ("zero-grad-missing",)


def test_lightning():
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self, rate):
            super().__init__()
            self.model, self.rate = SmallNet(), rate

        def training_step(self, batch, batch_index):
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch, batch_index):
            self.log("loss", nn.functional.cross_entropy(self.model(batch[0]), batch[1]))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=self.rate, momentum=0.9)
            return [optimizer], [lr_scheduler.StepLR(optimizer, 1)]

    def fit(rate):
        module, (train_loader, val_loader) = Module(rate), loaders()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", enable_model_summary=False, **quiet)
        with watch(module, None, train_loader, val_loader) as seen:
            trainer.fit(module, train_loader, val_loader)
        return seen

    assert not fit(0.01).diagnosis.findings
    assert fit(1e12).diagnosis.codes == ("gradients-explode",)


def test_the_doctor_and_the_watch_do_not_disturb_each_other():
    model, criterion, optimizer, train_loader, val_loader = parts()
    with watch(model, optimizer, train_loader, val_loader) as seen:
        diagnose(model, optimizer, train_loader, val_loader)
        for _epoch in range(2):
            train_one_epoch(model, criterion, optimizer, train_loader)
            validate(model, val_loader)
    assert not [finding for finding in seen.diagnosis if finding.severity != "note"], seen
