"""`fit`: transfer a model to a task by any strategy."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.data.loaders import Loaders, make_loaders
from helpers.data.preprocessing import Preprocessing
from helpers.data.tasks import Task
from helpers.errors import HelpersError, HelpersWarning
from helpers.models.saved_models import save_model
from helpers.training.history import History, Reporter
from helpers.training.runs.interrupts import InterruptFlag
from helpers.training.runs.precision import choose_precision, tune_allocator
from helpers.training.runs.resume import Recorder, State
from helpers.training.strategies import Phase, make_strategy

if TYPE_CHECKING:
    from accelerate import Accelerator

    from helpers.training.loop import Settings, Trainer
    from helpers.training.runs.resume import Snapshot


@dataclass(frozen=True)
class Run:
    """What `fit` did.

    Attributes:
        history: one row per epoch.
        best: the row of the epoch with the best validation accuracy.
        train_seconds: training, validation and the making of features together, of all sittings of a resumed run.
        images_seen: training images used, each counted every time.
        precision: in which the network ran, `"fp32"` or `"bf16"`.
    """

    history: History
    best: dict[str, Any]
    train_seconds: float
    images_seen: int
    precision: str

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
    *,
    preprocessing: Preprocessing | None = None,
    loaders: Loaders | None = None,
    optimizer: str = "adamw",
    weight_decay: float = 0.01,
    batch_size: int = 32,
    augment: Any = None,
    label_smoothing: float = 0.0,
    mix: str | None = None,
    patience: int | None = None,
    keep_best: bool = True,
    cache_features: bool = True,
    views: int = 1,
    precision: str = "fp32",
    compile: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    verbose: bool = True,
    doctor: bool = True,
) -> Run:
    """Train a model by a strategy; the model is changed in place and ends with its best weights.

    On the CPU the same seed gives the same weights, bit for bit, whether or not the run was stopped and resumed.
    Several processes or GPUs: start the program with `accelerate launch` or `torchrun`; each batch is then shared
    among them.

    Args:
        model: with a head for the task's classes (`replace_head`).
        task: what to learn.
        strategy: a list of phases, or the name of one in `helpers.training.strategies.STRATEGIES`.
        preprocessing: how images are prepared; default: the preprocessing that the weights came with (`model.preprocessing`).
        loaders: ready ones, when several runs share them; they then decide batch size and augmentation.
        optimizer: `"adamw"` or `"sgd"` (Nesterov momentum 0.9). A new one is made for each phase, over the stages
            that learn in it.
        weight_decay: for the weights of layers; norms and biases are exempt.
        batch_size: images a step, over all processes.
        augment: see `make_loaders`. Phases in which only the head learns use stored features; give `views` to have
            augmented ones among them.
        label_smoothing: 0 to below 1 (Szegedy et al., CVPR 2016).
        mix: None, `"mixup"` (Zhang et al., ICLR 2018), `"cutmix"` (Yun et al., ICCV 2019) or `"both"` at random; not
            in phases on stored features.
        patience: end a phase after so many epochs without improvement on the validation images.
        keep_best: end each phase with the best weights so far (most validation images named correctly, then lowest
            loss) rather than the last.
        cache_features: where only the head learns, run the backbone once and keep its features.
        views: how many versions of each training image are kept then: the image as it is, then augmented ones.
        precision: `"fp32"`, `"bf16"`, or `"auto"` (the faster one in a short trial).
        compile: run the network through `torch.compile`; worthwhile on a GPU.
        seed: of order, augmentation, mixing and dropout.
        out: a folder for the checkpoint and the trained model; None keeps nothing on disk.
        resume: go on where the run in `out` stopped (from the beginning, where nothing is there yet).
        verbose: show a line per epoch.
        doctor: look for mistakes first (a fraction of a second; the first phase, before its first step), and refuse to
            start where one is certain. What follows is the same, bit for bit, with and without.

    Returns:
        The history and the run's figures.

    Raises:
        HelpersError: for settings that make no sense, a model that does not fit the task, an error that the doctor
            finds, a run folder in use, a loss that is not finite, or files that cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the step in hand is finished and saved to `out`.
    """
    from helpers.training.loop import Settings, Trainer

    tune_allocator()
    phases = make_strategy(strategy) if isinstance(strategy, str) else list(strategy)
    accelerator = _accelerator(batch_size if loaders is None else loaders.train.batch_size)
    model.to(accelerator.device, memory_format=torch.channels_last)
    preprocessing = preprocessing or _own_preprocessing(model)
    loaders = loaders or make_loaders(task, preprocessing, batch_size=batch_size, augment=augment, seed=seed)
    settings = Settings(
        optimizer=optimizer,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        mix=mix,
        patience=patience,
        keep_best=keep_best,
        cache_features=cache_features,
        views=views,
        precision=_precision(precision, model, _batch_shape(model, task, loaders), accelerator),
        compile=compile,
        seed=seed,
    )
    _check(phases, settings, augment)
    _check_batchnorm(model, phases, min(loaders.train.batch_size, len(task.train)) // accelerator.num_processes)
    identity = {
        "backbone": getattr(model, "backbone_name", type(model).__name__),
        "classes": task.classes,
        "images": task.fingerprint(),
        "strategy": [asdict(phase) for phase in phases],
        "preprocessing": preprocessing.to_dict(),
        "batch_size": loaders.train.batch_size,
        "augment": repr(augment),
        "settings": asdict(settings),
    }
    recorder = None if out is None else Recorder(out, identity)
    trainer = Trainer(
        model, task, phases, settings, loaders, accelerator, recorder, Reporter(verbose and accelerator.is_main_process)
    )
    if recorder is not None:
        trainer.resume_from(_stored(recorder, resume))
        recorder.check_place()
    if doctor and trainer.state == State():  # a run that goes on was looked at when it began
        _examine(trainer, preprocessing)
    try:
        with torch.random.fork_rng(), InterruptFlag() as interrupt:
            trainer.run(interrupt)
    finally:
        if out is not None and trainer.state.best is not None and accelerator.is_main_process:
            save_model(out, model, task.classes, preprocessing, task=task.name, best=trainer.state.best)
    return _summary(trainer.state, settings.precision)


def _examine(trainer: Trainer, preprocessing: Preprocessing) -> None:
    """Let the doctor look at what the first phase is about to train; every process comes to the same verdict."""
    from helpers.training.loop import enter_phase
    from helpers.training.optim import make_optimizer, make_scheduler
    from transfer_doctor import guard

    model, phase, settings, loaders = trainer.model, trainer.strategy[0], trainer.settings, trainer.loaders
    enter_phase(model, phase)
    optimizer = make_optimizer(model, phase, settings.optimizer, settings.weight_decay)
    scheduler = make_scheduler(optimizer, phase, phase.epochs * len(loaders.train))
    guard(
        model, optimizer, loaders.train, loaders.val, scheduler, trainer.criterion, preprocessing, trainer.task.classes
    )


def _summary(state: State, precision: str) -> Run:
    return Run(History(state.rows), state.best, state.train_seconds, state.images_seen, precision)


def _accelerator(batch_size: int) -> Accelerator:
    from accelerate import Accelerator, DataLoaderConfiguration

    # Without a GPU, accelerate takes no notice of torchrun unless it is told to use the processor.
    shared = int(os.environ.get("WORLD_SIZE", "1")) > 1
    config = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(cpu=shared and not torch.cuda.is_available(), dataloader_config=config)
    if batch_size % accelerator.num_processes:
        raise HelpersError(
            f"batches of {batch_size} cannot be shared equally by {accelerator.num_processes} processes; "
            "choose a batch size that can"
        )
    return accelerator


def _precision(precision: str, model: nn.Module, shape: tuple[int, ...], accelerator: Accelerator) -> str:
    """The same choice in every process: the first one's, as a trial may come out differently in each."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([choose_precision(precision, model, shape, accelerator.device)])[0]


def _own_preprocessing(model: nn.Module) -> Preprocessing:
    preprocessing = getattr(model, "preprocessing", None)
    if preprocessing is None:
        raise HelpersError(
            "this model does not say how its images are to be prepared; pass `preprocessing`, "
            "for instance helpers.data.preprocessing.IMAGENET for ImageNet weights"
        )
    return preprocessing


@torch.random.fork_rng()
@torch.no_grad()
def _batch_shape(model: nn.Module, task: Task, loaders: Loaders) -> tuple[int, ...]:
    """The shape of a training batch, after a look at whether the model's scores fit the task."""
    images, _ = next(iter(loaders.val))
    device = next(model.parameters()).device
    mode = model.training
    try:
        scores = model.eval()(images[:1].to(device)).flatten(1)
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = images.shape[2:]
        raise HelpersError(
            f"this {type(model).__name__} takes no images of {height} x {width} px ({error}); choose another size: "
            f"its weights expect {_expected_size(model)}"
        ) from error
    finally:
        model.train(mode)
    if scores.shape[1] != len(task.classes):
        raise HelpersError(
            f"the model gives {scores.shape[1]} scores, but the task has {len(task.classes)} classes; "
            f"call replace_head(model, {len(task.classes)}) first"
        )
    return (min(loaders.train.batch_size, len(task.train)), *images.shape[1:])


def _expected_size(model: nn.Module) -> str:
    preprocessing = getattr(model, "preprocessing", None)
    return "another one" if preprocessing is None else f"{preprocessing.image_size} px"


def _check_batchnorm(model: nn.Module, phases: Sequence[Phase], images: int) -> None:
    """Refuse to let BatchNorm learn the statistics of batches of a single image."""
    has_batchnorm = any(isinstance(module, _BatchNorm) for module in model.modules())
    if images < 2 and has_batchnorm and any(phase.update_batchnorm for phase in phases):
        raise HelpersError(
            "BatchNorm cannot follow the statistics of one image at a time: choose a batch size of at least 2 a "
            "process, or phases with update_batchnorm=False"
        )


def _check(phases: Sequence[Phase], settings: Settings, augment: Any) -> None:
    if not phases:
        raise HelpersError("a strategy needs at least one phase")
    if not 0 <= settings.label_smoothing < 1:
        raise HelpersError(f"label_smoothing is a share, from 0 to below 1, not {settings.label_smoothing!r}")
    if not 0 <= settings.weight_decay < float("inf"):
        raise HelpersError(f"weight_decay is a number, 0 or more, not {settings.weight_decay!r}")
    if settings.views < 1 or (settings.patience is not None and settings.patience < 1):
        raise HelpersError(f"views ({settings.views}) and patience ({settings.patience}) are counts, 1 or more")
    head_only = all(phase.trainable in ("head", 1) for phase in phases) and settings.cache_features
    if head_only and (settings.mix or (augment is not None and settings.views == 1)):
        warnings.warn(
            "only the head learns, on stored features of the images as they are, so augmentation and mixing have no "
            "effect; give views=4, say, for augmented views, or cache_features=False for the plain loop",
            HelpersWarning,
            stacklevel=3,
        )


def _stored(recorder: Recorder, resume: bool) -> Snapshot | None:
    if not resume and recorder.path.exists():
        raise HelpersError(f"{recorder.path.parent} already holds a run; resume it, or give the new run another folder")
    return recorder.load()
