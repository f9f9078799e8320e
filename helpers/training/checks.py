"""What cannot go well is said before training starts: settings, a model that does not fit, a run in the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

import transfer_doctor
from helpers.data.loaders import Loaders, batch_names
from helpers.data.preprocessing import Preprocessing
from helpers.data.tasks import Task
from helpers.errors import HelpersError, warn
from helpers.models.modes import eval_mode
from helpers.models.saved_models import MODEL
from helpers.models.stages import stages
from helpers.training.loop import Settings, enter_phase
from helpers.training.optim import make_optimizer, make_scheduler
from helpers.training.runs.checkpoint import RunFolder
from helpers.training.runs.precision import choose_precision
from helpers.training.runs.progress import Progress
from helpers.training.strategies import Phase

DIVERGED = 100
"""A loss so many times that of a phase's first step (at least 1) means that training diverges."""

OVERRULE = "To start all the same: fit(..., doctor=False), on the command line --no-doctor."


def check_settings(settings: Settings) -> None:
    """Refuse settings that make no sense.

    Raises:
        HelpersError: naming the setting.
    """
    if not 0 <= settings.label_smoothing < 1:
        raise HelpersError(f"label_smoothing is a fraction, from 0 to below 1, not {settings.label_smoothing!r}")
    if not 0 <= settings.weight_decay < float("inf"):
        raise HelpersError(f"weight_decay is a number, 0 or more, not {settings.weight_decay!r}")
    if settings.balance not in (None, "sampler", "weights"):
        raise HelpersError(f"balance {settings.balance!r} is not known; choose sampler or weights")
    if settings.views < 1 or (settings.patience is not None and settings.patience < 1):
        raise HelpersError(f"views ({settings.views}) and patience ({settings.patience}) are counts, 1 or more")


def check_strategy(strategy: Sequence[Phase], model: nn.Module, settings: Settings) -> None:
    """Refuse phases that this model cannot run; warn where augmentation has no effect.

    Raises:
        HelpersError: for a strategy without phases, or stages that the model does not have.
    """
    if not strategy:
        raise HelpersError("a strategy needs at least one phase")
    names = [stage.name for stage in stages(model)]
    chosen = [phase.trainable_stages(names) for phase in strategy]
    on_features = settings.cache_features and all(trainable == (names[-1],) for trainable in chosen)
    given = settings.augment not in (None, Settings.augment) and settings.views == 1
    if on_features and (settings.mix or given):
        warn(
            "only the head is trainable, on stored features of the images as they are, so augmentation and mixing have "
            "no effect; give views=4, say, for augmented views, or cache_features=False for the plain loop"
        )


@torch.random.fork_rng()
@torch.no_grad()
def check_model(
    model: nn.Module, task: Task, strategy: Sequence[Phase], loaders: Loaders, settings: Settings, processes: int
) -> None:
    """Run the model on one image: does it take this size, and give one score for each class?

    Raises:
        HelpersError: if it does not, or if BatchNorm would have to learn from single images.
    """
    images, _ = next(iter(loaders.val))
    device = next(model.parameters()).device
    choose_precision(settings.precision, min(images.shape[2:]), device)
    try:
        with eval_mode(model):
            scores = model(images[:1].to(device)).flatten(1)
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = images.shape[2:]
        raise HelpersError(
            f"this {type(model).__name__} takes no images of {height} x {width} px ({error}); choose another size: "
            f"its weights expect {_expected_size(model)}"
        ) from error
    if scores.shape[1] != len(task.classes):
        raise HelpersError(
            f"the model gives {scores.shape[1]} scores, but the task has {len(task.classes)} classes; "
            f"call replace_head(model, {len(task.classes)}) first"
        )
    per_process = min(settings.batch_size, len(task.train)) // processes
    has_batchnorm = any(isinstance(module, _BatchNorm) for module in model.modules())
    if per_process < 2 and has_batchnorm and any(phase.update_batchnorm for phase in strategy):
        raise HelpersError(
            "BatchNorm cannot follow the statistics of one image at a time: choose a batch size of at least 2 per "
            "process, or phases with update_batchnorm=False"
        )


def examine(model: nn.Module, phase: Phase, settings: Settings, loaders: Loaders, classes: tuple[str, ...]) -> None:
    """Let the doctor look at what the first phase is about to train; an error of its is raised in every process."""
    enter_phase(model, phase)
    optimizer = make_optimizer(model, phase, settings.optimizer, settings.weight_decay)
    scheduler = make_scheduler(optimizer, phase, phase.epochs * len(loaders.train))
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    inputs = (model, optimizer, loaders.train, loaders.val, scheduler, criterion, settings.preprocessing, classes)
    try:
        transfer_doctor.guard(*inputs)
    except transfer_doctor.DiagnosisError as refusal:
        raise HelpersError(f"{refusal}\n\n{OVERRULE}") from None


def loss_problem(loss: float, inputs: Tensor | None, train: DataLoader, place: Progress, lr: float) -> str:
    """What to say of a loss that is not finite or has diverged; the step's inputs are (B, ...), None in validation."""
    names = [] if inputs is None else batch_names(train, place.epochs_done, place.step)
    fault = f"the {'validation ' * (not names)}loss became {loss:.3g} in {place.place}"
    if math.isfinite(loss):
        fault += ": training diverges"
    elif names and not inputs.isfinite().all():
        bad = int((~inputs.flatten(1).isfinite().all(dim=1)).nonzero()[0])
        fault += f"; {names[bad]} holds values that are not finite"
    elif names:
        fault += f"; its images are {', '.join(names[:3])} ..."
    return f"{fault}. The learning rate was {lr:.1e}: try a tenth. The model has its last good weights again."


def own_preprocessing(model: nn.Module) -> Preprocessing:
    """The preprocessing that the model's weights came with.

    Raises:
        HelpersError: if the model does not say.
    """
    preprocessing = getattr(model, "preprocessing", None)
    if preprocessing is None:
        raise HelpersError(
            "this model does not say how its images are to be prepared; pass Settings(preprocessing=...), "
            "for instance helpers.data.preprocessing.IMAGENET for ImageNet weights"
        )
    return preprocessing


def stored_run(folder: RunFolder, resume: bool) -> dict[str, Any] | None:
    """The checkpoint in a run folder, if there is one.

    Raises:
        HelpersError: if there is one and the run was not to be resumed, or it cannot be.
    """
    stored, trained = folder.load() if resume else None, (folder.folder / MODEL).exists()
    if stored is None and (trained or folder.path.exists()):
        raise HelpersError(
            f"{folder.folder} already holds a run; resume it (if its checkpoint is there), give the new run another "
            f"folder, or start the new one from its model: --weights {folder.folder}"
        )
    return stored


def name_of(augment: Any) -> str:
    """What to call an augmentation in a run's identity: the same in every process."""
    return f"{augment.__module__}.{augment.__qualname__}" if hasattr(augment, "__qualname__") else repr(augment)


def _expected_size(model: nn.Module) -> str:
    preprocessing = getattr(model, "preprocessing", None)
    return "another one" if preprocessing is None else f"{preprocessing.image_size} px"
