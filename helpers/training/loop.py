"""The one loop that runs every strategy: phases, epochs, steps."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from helpers.data.loaders import Loaders, batch_names, set_epoch
from helpers.errors import HelpersError
from helpers.models.stages import freeze_batchnorm_statistics, set_trainable, stages
from helpers.models.weights_files.checkpoints import copy_into
from helpers.training.evaluation import evaluate
from helpers.training.history import Reporter
from helpers.training.optim import make_optimizer, make_scheduler
from helpers.training.phase_inputs import Material, features_for, images_for
from helpers.training.runs.interrupts import InterruptFlag
from helpers.training.runs.precision import autocast
from helpers.training.runs.resume import Recorder, Snapshot, State, clone_state
from helpers.training.strategies import Phase

with warnings.catch_warnings():
    # In a notebook without widgets, accelerate's import warns of a progress bar that is not used here.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from accelerate import skip_first_batches

if TYPE_CHECKING:
    from accelerate import Accelerator

    from helpers.data.tasks import Task

SECONDS_BETWEEN_SAVES = 30.0


@dataclass(frozen=True)
class Settings:
    """What is the same in every phase of a run; `helpers.training.fit.fit` explains each."""

    optimizer: str
    weight_decay: float
    label_smoothing: float
    mix: str | None
    patience: int | None
    keep_best: bool
    cache_features: bool
    views: int
    precision: str
    compile: bool
    seed: int


class Trainer:
    """A run of a strategy: its model, its data, and how far it has come.

    Args:
        model: with a head for the task's classes.
        task: names the images in messages.
        strategy: the phases.
        settings: what is the same in every phase.
        loaders: of the task.
        accelerator: chooses the device and shares the work among processes.
        recorder: keeps checkpoints; None keeps none.
        reporter: shows progress.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        strategy: Sequence[Phase],
        settings: Settings,
        loaders: Loaders,
        accelerator: Accelerator,
        recorder: Recorder | None,
        reporter: Reporter,
    ) -> None:
        self.model, self.task, self.strategy, self.settings = model, task, strategy, settings
        self.loaders, self.accelerator, self.recorder, self.reporter = loaders, accelerator, recorder, reporter
        self.criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        self.mix = _make_mix(settings.mix, len(task.classes))
        self.state = State()
        self.best = clone_state(model)
        self.snapshot: Snapshot | None = None
        self.last_save = time.monotonic()

    def resume_from(self, snapshot: Snapshot | None) -> None:
        """Take up a stored run, if there is one."""
        if snapshot is not None:
            self.state, self.snapshot = snapshot.state, snapshot
            self.best = snapshot.restore_model(self.model)
            if self.state.finished:
                enter_phase(self.model, self.strategy[-1])

    def run(self, interrupt: InterruptFlag) -> None:
        """Run the phases that are left; the model ends with the best weights (or the last, where so set).

        Raises:
            HelpersError: if the loss stops being finite; the model then has its best weights so far.
            KeyboardInterrupt: after Ctrl-C, once the step in hand is done and saved; likewise.
        """
        try:
            while not self.state.finished:
                self._run_phase(self.strategy[self.state.phase], interrupt)
        except (HelpersError, KeyboardInterrupt):
            copy_into(self.model, self.best)
            raise
        finally:
            self.reporter.close()
        if self.settings.keep_best:
            copy_into(self.model, self.best)

    def _run_phase(self, phase: Phase, interrupt: InterruptFlag) -> None:
        started = time.perf_counter()
        self.material = self._prepare(phase)
        self.state.train_seconds += time.perf_counter() - started
        self.network = torch.compile(self.material.network) if self.settings.compile else self.material.network
        self.optimizer = make_optimizer(self.model, phase, self.settings.optimizer, self.settings.weight_decay)
        self.scheduler = make_scheduler(self.optimizer, phase, phase.epochs * len(self.material.train))
        if self.snapshot is not None and self.snapshot.within_phase:
            self.snapshot.restore_optimizer(self.optimizer, self.scheduler)
        self.snapshot = None
        while self.state.epoch < phase.epochs and not self._is_stale():
            self._run_epoch(phase, interrupt)
            if time.monotonic() - self.last_save > SECONDS_BETWEEN_SAVES:
                self._save(within_phase=True)
        if self.settings.keep_best:
            copy_into(self.model, self.best)
        self.state.end_phase(of=len(self.strategy))
        self._save(within_phase=False)

    def _prepare(self, phase: Phase) -> Material:
        """Freeze and thaw as the phase says, and choose what it learns from."""
        learning = enter_phase(self.model, phase)
        if self.settings.cache_features and learning == (stages(self.model)[-1].name,):
            options = {"views": self.settings.views, "precision": self.settings.precision}
            return features_for(self.model, self.task, self.loaders, self.accelerator, **options)
        return images_for(self.model, self.loaders, self.accelerator)

    def _run_epoch(self, phase: Phase, interrupt: InterruptFlag) -> None:
        state, before, started = self.state, self.state.seconds, time.perf_counter()
        set_epoch(self.loaders.train, state.number)
        title = f"phase {state.phase + 1}  epoch {state.epoch + 1}/{phase.epochs}"
        self.reporter.start_epoch(title, len(self.material.train))
        for inputs, labels in skip_first_batches(self.material.train, state.step):
            state.loss_sum += self._step(inputs, labels)
            state.step += 1
            state.images_seen += len(inputs) * self.accelerator.num_processes
            state.seconds = before + time.perf_counter() - started
            self.reporter.step()
            if interrupt.raised:
                self._save(within_phase=True)
                raise KeyboardInterrupt(f"stopped in {title}, after batch {state.step}")
        self._validate()

    def _step(self, inputs: Tensor, labels: Tensor) -> float:
        """One optimizer step; the random numbers of mixing and dropout depend on seed and place alone."""
        torch.manual_seed(_seed_of(self.settings.seed, self.state.number, self.state.step))
        self.state.rate = max(group["lr"] for group in self.optimizer.param_groups)
        mixed, targets = inputs, labels
        if self.mix is not None and self.material.images:
            mixed, targets = self.mix(inputs, labels)
        with autocast(self.settings.precision, inputs.device):
            outputs = self.network(mixed)
        loss = self.criterion(outputs.flatten(1).float(), targets)
        value = self.accelerator.gather(loss.detach()).mean().item()
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value}", inputs)
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler is not None:
            self.scheduler.step()
        return value

    def _validate(self) -> None:
        """End an epoch: measure it, and keep its weights if they are the best."""
        state, started = self.state, time.perf_counter()
        gather, precision = self.accelerator.gather_for_metrics, self.settings.precision
        scores = evaluate(self.network, self.material.val, precision=precision, gather=gather)
        if not math.isfinite(scores.loss):
            raise self._diverged(f"the validation loss became {scores.loss}", None)
        row = {
            "phase": state.phase + 1,
            "epoch": state.epoch + 1,
            "lr": state.rate,
            "train_loss": state.loss_sum / max(1, state.step),
            "val_loss": scores.loss,
            "val_accuracy": scores.accuracy,
            "seconds": state.seconds + time.perf_counter() - started,
        }
        if state.end_epoch(row):
            self._keep()
        self.reporter.end_epoch(row)

    def _keep(self) -> None:
        """Copy what may have moved in this phase; the rest of the best weights is as it was."""
        weights = self.model.state_dict()
        moving = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        moving |= {name for name, _ in self.model.named_buffers()}
        for name in moving & weights.keys():
            self.best[name] = weights[name].detach().clone()

    def _is_stale(self) -> bool:
        return self.settings.patience is not None and self.state.stale >= self.settings.patience

    def _save(self, *, within_phase: bool) -> None:
        if self.recorder is not None and self.accelerator.is_main_process:
            moving = (self.optimizer, self.scheduler) if within_phase else (None, None)
            self.recorder.save(self.state, self.model, self.best, *moving)
        self.last_save = time.monotonic()

    def _diverged(self, what: str, inputs: Tensor | None) -> HelpersError:
        """An error that names the place, the images and the rate."""
        state = self.state
        names = batch_names(self.loaders.train, state.number, state.step) if inputs is not None else []
        suspects = f"; its images are {', '.join(names[:3])} ..." if names else ""
        if inputs is not None and not inputs.isfinite().all():
            bad = int((~inputs.flatten(1).isfinite().all(dim=1)).nonzero()[0])
            suspects = f"; {names[bad]} holds values that are not finite"
        return HelpersError(
            f"{what} in phase {state.phase + 1}, epoch {state.epoch + 1}, batch {state.step + 1}{suspects}. "
            f"The learning rate was {state.rate:.1e}: try a tenth. The model has been given back its last good weights."
        )


def enter_phase(model: nn.Module, phase: Phase) -> tuple[str, ...]:
    """Put a model into train mode with exactly the stages of a phase learning; returns their names."""
    learning = phase.trainable_stages([stage.name for stage in stages(model)])
    model.train()
    set_trainable(model, learning)
    freeze_batchnorm_statistics(model, frozen=not phase.update_batchnorm)
    return learning


def _seed_of(*place: int) -> int:
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


def _make_mix(name: str | None, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    if name is None:
        return None
    from torchvision.transforms import v2

    choices = {
        "mixup": lambda: v2.MixUp(num_classes=classes, alpha=0.2),
        "cutmix": lambda: v2.CutMix(num_classes=classes),
        "both": lambda: v2.RandomChoice([choices["mixup"](), choices["cutmix"]()]),
    }
    if name not in choices:
        raise HelpersError(f"mix {name!r} is not known; choose one of {', '.join(choices)}")
    return choices[name]()
