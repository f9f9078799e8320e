"""`fit`: the training loop with a device, stored features, the doctor, checkpoints and several processes around it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from helpers.data.loaders import Loaders, make_loaders
from helpers.data.tasks import Task
from helpers.errors import HelpersError
from helpers.models.saved_models import save_model
from helpers.models.stages import stages
from helpers.models.weights_files.checkpoints import clone_state, copy_into
from helpers.training import checks
from helpers.training.balance import set_sampling
from helpers.training.features import feature_inputs
from helpers.training.history import History, Reporter
from helpers.training.loop import Callback, PhaseInputs, Settings, enter_phase, leave_phase, train
from helpers.training.optim import highest_lr
from helpers.training.runs.checkpoint import RunFolder
from helpers.training.runs.interrupts import InterruptFlag
from helpers.training.runs.precision import tune_allocator
from helpers.training.runs.processes import Accelerator, make_accelerator, skip_first_batches
from helpers.training.runs.progress import Progress
from helpers.training.strategies import Phase, make_strategy

SECONDS_BETWEEN_SAVES = 30.0
BYTES_PER_PARAMETER = 36
"""Of disk: two checkpoints (weights, best weights, Adam's two moments) while one replaces the other, and the model."""


@dataclass(frozen=True)
class Run:
    """What `fit` did.

    Attributes:
        history: one row per epoch.
        best: the row of the epoch with the best validation accuracy.
        train_seconds: training, validation and computing features, in all sessions of a resumed run.
        images_seen: training images used, each counted every time.
    """

    history: History
    best: dict[str, Any]
    train_seconds: float
    images_seen: int

    @property
    def val_accuracy(self) -> float:
        """Of the best epoch, 0 to 1."""
        return self.best["val_accuracy"]

    @property
    def images_per_second(self) -> float:
        """Training images used per second of training and validation."""
        return self.images_seen / self.train_seconds


def fit(
    model: nn.Module,
    task: Task,
    strategy: Sequence[Phase] | str = "fine-tuning",
    settings: Settings | None = None,
    *,
    loaders: Loaders | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    verbose: bool = True,
    doctor: bool = True,
) -> Run:
    """Transfer a model to a task by any strategy, in place; it ends in eval mode with its best weights.

    On the CPU the same seed gives the same weights, bit for bit, whether or not the run was stopped and resumed.
    Several processes or GPUs: start the program with `accelerate launch` or `torchrun`; each batch is then shared
    among them.

    Args:
        model: with a head for the task's classes (`replace_head`).
        task: what to learn.
        strategy: a list of phases, or the name of one in `helpers.training.strategies.STRATEGIES`.
        settings: what is the same in every phase, from the optimizer to augmentation; default: `Settings()`.
        loaders: ready ones, when several runs share them; they then decide batch size and augmentation.
        seed: of order, augmentation, mixing and dropout.
        out: a folder for the checkpoint and the trained model; None keeps nothing on disk.
        resume: go on where the run in `out` stopped (from the beginning, where nothing is there yet).
        verbose: show progress and a line per epoch.
        doctor: look for mistakes first (a fraction of a second; the first phase, before its first step), and refuse to
            start where one is certain. What follows is the same, bit for bit, with and without.

    Returns:
        The history and the run's figures.

    Raises:
        HelpersError: for settings that make no sense, a model that does not fit the task, an error that the doctor
            finds, a run folder in use, a loss that is not finite, or files that cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the current step is finished and saved to `out`.
    """
    tune_allocator()
    settings = settings or Settings()
    phases = make_strategy(strategy) if isinstance(strategy, str) else list(strategy)
    checks.check_settings(settings)
    checks.check_strategy(phases, model, settings)
    preprocessing = (settings.preprocessing or checks.own_preprocessing(model)).for_values(task.value_range)
    loaders = loaders or make_loaders(
        task, preprocessing, batch_size=settings.batch_size, augment=settings.augment, seed=seed
    )
    if isinstance(strategy, str):
        phases = make_strategy(strategy, steps_per_epoch=len(loaders.train))
    settings = replace(settings, batch_size=loaders.train.batch_size, preprocessing=preprocessing)
    set_sampling(loaders.train, settings.balance)
    accelerator = make_accelerator(settings.batch_size)
    model.to(accelerator.device, memory_format=torch.channels_last)
    checks.check_model(model, task, phases, loaders, settings, accelerator.num_processes)
    identity = {
        "backbone": getattr(model, "backbone_name", type(model).__name__),
        "weights": getattr(model, "weights_digest", None),
        "classes": task.classes,
        "images": task.fingerprint(),
        "strategy": [asdict(phase) for phase in phases],
        "settings": asdict(settings) | {"augment": checks.name_of(settings.augment), "seed": seed},
    }
    folder = RunFolder(out, identity) if out is not None and accelerator.is_main_process else None
    callback = _Callback(model, phases, settings, loaders, accelerator, folder, verbose)
    if out is not None:
        callback.resume_from(checks.stored_run(RunFolder(out, identity), resume))
    if doctor and callback.progress == Progress():  # a run that goes on was looked at when it began
        checks.examine(model, phases[0], settings, loaders, task.classes)
    if folder is not None:
        folder.open(room=BYTES_PER_PARAMETER * sum(parameter.numel() for parameter in model.parameters()))
    try:
        with torch.random.fork_rng(), InterruptFlag() as callback.interrupt:
            history = train(model, phases, loaders, settings, seed, callback)
    except (HelpersError, KeyboardInterrupt):
        copy_into(model, callback.best)
        leave_phase(model)
        raise
    finally:
        callback.reporter.close()
        if folder is not None:
            folder.close()
            if callback.progress.best is not None:
                about = {"task": task.name, "best": callback.progress.best}
                save_model(out, model, task.classes, preprocessing, **about)
    progress = callback.progress
    return Run(history, progress.best, progress.train_seconds, progress.images_seen)


class _Callback(Callback):
    """What `fit` adds to the loop."""

    def __init__(
        self,
        model: nn.Module,
        phases: list[Phase],
        settings: Settings,
        loaders: Loaders,
        accelerator: Accelerator,
        folder: RunFolder | None,
        verbose: bool,
    ) -> None:
        super().__init__()
        self.model, self.phases, self.settings = model, phases, settings
        self.loaders, self.accelerator, self.folder = loaders, accelerator, folder
        self.processes = accelerator.num_processes
        self.reporter = Reporter(verbose and accelerator.is_main_process)
        self.interrupt = InterruptFlag()
        self.stored: dict[str, Any] | None = None
        self.first_loss, self.last_save = 5.0, time.monotonic()

    def resume_from(self, stored: dict[str, Any] | None) -> None:
        """Take up a stored run, if there is one."""
        if stored is None:
            return
        self.progress = Progress(**stored["progress"])
        copy_into(self.model, stored["model"])
        self.best = clone_state(self.model) | stored["best"]
        if self.progress.finished:
            enter_phase(self.model, self.phases[-1])
            if self.settings.keep_best:
                copy_into(self.model, self.best)
        self.stored = stored

    def phase_inputs(self, model: nn.Module, loaders: Loaders) -> PhaseInputs:
        """Stored features where only the head is trainable, else images; each batch shared among the processes."""
        started, share = time.perf_counter(), self.accelerator.prepare_data_loader
        if self.settings.cache_features and _trains_only_the_head(model):
            inputs = feature_inputs(model, loaders, self.settings, self.accelerator)
        else:
            inputs = PhaseInputs(model, loaders.train, loaders.val)
        network = self.accelerator.prepare_model(inputs.network)
        network = torch.compile(network) if self.settings.compile else network
        self.progress.train_seconds += time.perf_counter() - started
        self.inputs = PhaseInputs(network, share(inputs.train), share(inputs.val), inputs.images)
        return self.inputs

    def start_phase(self, optimizer: torch.optim.Optimizer, scheduler: LRScheduler) -> None:
        """Go on within the phase in which a stored run stopped."""
        self.optimizer, self.scheduler = optimizer, scheduler
        if self.stored is not None and self.stored["optimizer"] is not None:
            optimizer.load_state_dict(self.stored["optimizer"])
            scheduler.load_state_dict(self.stored["scheduler"])
        self.stored = None

    def batches(self, train: DataLoader) -> Iterable[tuple[Tensor, Tensor]]:
        """The batches of this epoch that are left to do."""
        return skip_first_batches(train, self.progress.step)

    def gather(self, tensors: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """The same tensors from all processes together, without what only filled up the last batch."""
        return self.accelerator.gather_for_metrics(tensors)

    def check(self, loss: Tensor | float, inputs: Tensor | None = None) -> float:
        """The mean loss over all processes; an error where it is not finite, or `DIVERGED` times that of the start."""
        loss = self.accelerator.gather(loss).mean().item() if isinstance(loss, Tensor) else loss
        if inputs is not None and self.progress.epoch == self.progress.step == 0:
            self.first_loss = max(1.0, loss)
        if loss <= checks.DIVERGED * self.first_loss < math.inf:
            return loss
        raise HelpersError(
            checks.loss_problem(loss, inputs, self.loaders.train, self.progress, highest_lr(self.optimizer))
        )

    def end_step(self) -> None:
        """Show progress, save now and then, and stop after Ctrl-C."""
        progress, epochs = self.progress, self.phases[self.progress.phase].epochs
        title = f"phase {progress.phase + 1}  epoch {progress.epoch + 1}/{epochs}"
        self.reporter.step(title, progress.step, len(self.inputs.train))
        if self.interrupt.raised or time.monotonic() - self.last_save > SECONDS_BETWEEN_SAVES:
            self._save(self.optimizer, self.scheduler)
        if self.interrupt.raised:
            raise KeyboardInterrupt(f"stopped in {title}, after batch {progress.step}")

    def end_epoch(self) -> None:
        """Show the epoch."""
        last = self.progress.epoch == self.phases[self.progress.phase].epochs
        self.reporter.end_epoch(self.progress.rows[-1], last)

    def end_phase(self) -> None:
        """Save; the next phase has an optimizer of its own."""
        self._save()

    def _save(self, *moving: Any) -> None:
        if self.folder is not None:
            self.folder.save(self.progress, self.model, self.best, *moving)
        self.last_save = time.monotonic()


def _trains_only_the_head(model: nn.Module) -> bool:
    *body, last = stages(model)
    return last.trainable and not any(stage.trainable for stage in body)
