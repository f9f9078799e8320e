"""The training loop: phases, epochs, steps. One loop runs every strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from helpers.data.loaders import Loaders, set_epoch
from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError
from helpers.models.stages import freeze_batchnorm_statistics, set_trainable, stages
from helpers.models.weights_files.checkpoints import clone_state, copy_into
from helpers.seeding import seed_from
from helpers.training.balance import make_criterion
from helpers.training.evaluation import evaluate
from helpers.training.history import History
from helpers.training.optim import highest_lr, make_optimizer, make_scheduler
from helpers.training.runs.precision import autocast
from helpers.training.runs.progress import Progress
from helpers.training.strategies import Phase


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters that are the same in every phase; the defaults of `fit` and of the command line.

    Attributes:
        optimizer: `"adamw"` or `"sgd"` (Nesterov momentum 0.9); a new one for each phase.
        weight_decay: of the layers' weights; norms and biases get none.
        batch_size: images per step, over all processes.
        augment: of training images, see `make_loaders`; None for none.
        label_smoothing: 0 to below 1 (Szegedy et al., CVPR 2016).
        mix: None, `"mixup"` (Zhang et al., ICLR 2018), `"cutmix"` (Yun et al., ICCV 2019) or `"both"` at random; not
            in phases on stored features.
        patience: end a phase after so many epochs without improvement in validation; None never does.
        keep_best: end each phase with the best weights so far (highest validation accuracy, then lowest loss) rather
            than the last.
        cache_features: where only the head is trainable, run the backbone once and train on the stored features.
        views: versions of each training image among these features: the image itself, then augmented ones.
        precision: `"auto"`, `"fp32"` or `"bf16"`; see `helpers.training.runs.precision.choose_precision`.
        balance: of unequal classes: None, `"sampler"` or `"weights"` (of the loss); see `helpers.training.balance`.
        compile: run the network through `torch.compile`; worthwhile on a GPU.
        preprocessing: of the images; default: what the weights came with (`model.preprocessing`).
    """

    optimizer: str = "adamw"
    weight_decay: float = 0.01
    batch_size: int = 32
    augment: Any = "light"
    label_smoothing: float = 0.1
    mix: str | None = None
    patience: int | None = None
    keep_best: bool = True
    cache_features: bool = True
    views: int = 2
    precision: str = "auto"
    balance: str | None = None
    compile: bool = False
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class PhaseInputs:
    """What one phase learns from: the network that runs, and the batches it runs on.

    Attributes:
        network: the whole model, or its head alone where the inputs are features.
        train: shuffled batches (inputs, labels); images (B, 3, H, W), or features (B, ...).
        val: batches in order.
        images: whether the inputs are images.
    """

    network: nn.Module
    train: DataLoader
    val: DataLoader
    images: bool = True


class Callback:
    """What happens around the loop. This one only counts; `fit` adds features, processes, checkpoints and a display."""

    processes = 1

    def __init__(self) -> None:
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}

    def phase_inputs(self, model: nn.Module, loaders: Loaders) -> PhaseInputs:
        """What this phase learns from."""
        return PhaseInputs(model, loaders.train, loaders.val)

    def start_phase(self, optimizer: torch.optim.Optimizer, scheduler: LRScheduler) -> None:
        """Before the first step of a phase."""

    def batches(self, train: DataLoader) -> Iterable[tuple[Tensor, Tensor]]:
        """The batches of this epoch that are left to do."""
        return train

    def gather(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same tensors from all processes together."""
        return tensors

    def check(self, loss: Tensor | float, inputs: Tensor | None = None) -> float:
        """The loss as a number, if it is finite."""
        loss = float(loss)
        if not math.isfinite(loss):
            raise HelpersError(f"the loss became {loss} in {self.progress.place}: try a lower learning rate")
        return loss

    def end_step(self) -> None:
        """After an optimizer step."""

    def end_epoch(self) -> None:
        """After validation."""

    def end_phase(self) -> None:
        """After the last epoch of a phase."""


def train(
    model: nn.Module,
    strategy: Sequence[Phase],
    loaders: Loaders,
    settings: Settings,
    seed: int = 0,
    callback: Callback | None = None,
) -> History:
    """Train a model by a strategy, in place; it ends in eval mode with its best weights (`Settings.keep_best`).

    Args:
        model: with a head for the classes of the loaders.
        strategy: the phases.
        loaders: `train` and `val` give batches (images (B, 3, H, W), labels (B,)).
        settings: hyper-parameters; batch size, augmentation and preprocessing are the loaders' own here.
        seed: of mixing and dropout.
        callback: what happens around the loop, and where a stopped run goes on.

    Raises:
        HelpersError: if the loss stops being finite.
    """
    callback = callback or Callback()
    callback.best = callback.best or clone_state(model)
    progress, patience = callback.progress, settings.patience or math.inf
    device = next(model.parameters()).device
    criterion = make_criterion(loaders.train, settings.label_smoothing, settings.balance, device)
    mix = make_mix(settings.mix, classes=len(list(model.parameters())[-1]))
    for phase in strategy[progress.phase :]:
        enter_phase(model, phase)
        inputs = callback.phase_inputs(model, loaders)
        precision = settings.precision if inputs.images else "fp32"
        optimizer = make_optimizer(model, phase, settings.optimizer, settings.weight_decay)
        scheduler = make_scheduler(optimizer, phase, steps=phase.epochs * len(inputs.train))
        callback.start_phase(optimizer, scheduler)

        while progress.epoch < phase.epochs and progress.stale < patience:
            progress.start_clock()
            set_epoch(loaders.train, progress.epochs_done)
            for images, labels in callback.batches(inputs.train):
                torch.manual_seed(seed_from(seed, progress.epochs_done, progress.step))
                images, labels = images.to(device), labels.to(device)
                mixed, targets = mix(images, labels) if mix and inputs.images else (images, labels)
                with autocast(precision, images):
                    logits = inputs.network(mixed).flatten(1)
                loss = criterion(logits.float(), targets)
                value = callback.check(loss.detach(), images)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                progress.end_step(value, len(images) * callback.processes, lr=highest_lr(optimizer))
                scheduler.step()
                callback.end_step()

            scores = evaluate(inputs.network, inputs.val, precision=precision, gather=callback.gather)
            if progress.end_epoch(callback.check(scores.loss), scores.accuracy):
                callback.best |= clone_state(model, only_trainable=True)
            callback.end_epoch()

        if settings.keep_best:
            copy_into(model, callback.best)
        progress.end_phase(len(strategy))
        callback.end_phase()
    leave_phase(model)
    return History(progress.rows)


def enter_phase(model: nn.Module, phase: Phase) -> None:
    """Put a model into train mode with exactly the stages of a phase trainable."""
    model.train()
    set_trainable(model, phase.trainable_stages([stage.name for stage in stages(model)]))
    freeze_batchnorm_statistics(model, frozen=not phase.update_batchnorm)


def leave_phase(model: nn.Module) -> None:
    """Put a model into eval mode, with nothing held back: whoever goes on in plain PyTorch calls `model.train()`."""
    freeze_batchnorm_statistics(model, frozen=False)
    model.eval()


def make_mix(name: str | None, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """MixUp, CutMix, or either of them at random for each batch; labels (B,) become probabilities (B, classes).

    Raises:
        HelpersError: for an unknown name.
    """
    mixup, cutmix = v2.MixUp(num_classes=classes, alpha=0.2), v2.CutMix(num_classes=classes)
    choices = {None: None, "mixup": mixup, "cutmix": cutmix, "both": v2.RandomChoice([mixup, cutmix])}
    if name not in choices:
        raise HelpersError(f"mix {name!r} is not known; choose one of mixup, cutmix, both")
    return choices[name]
