"""Frozen layers whose BatchNorm still follows the new images, and what that does to the features."""

from __future__ import annotations

import torch
from torch import nn

from transfer_doctor.case import Case, in_python
from transfer_doctor.findings import CannotTell, Symptom, check
from transfer_doctor.forward_trace import Layer
from transfer_doctor.initialization import has_initial_statistics

HARMFUL = 0.5  # movement of the features, as a fraction of how far apart the images' features are
BATCHES = 3


@check("note", needs=("model", "train_loader"), unless=("module-raises", "weights-look-random", "nothing-trainable"))
def frozen_batchnorm_drifts(case: Case) -> Symptom | None:
    """Frozen BatchNorm layers keep updating their statistics.

    Symptom: training is fine, validation is worse than it should be, or differs with the batch size.

    By hand: compare `running_mean` of a frozen BatchNorm layer before and after an epoch.

    Repair: set frozen BatchNorm layers to eval mode after each `model.train()`.
    """
    model_copy = case.in_training()
    drifting = [layer for layer in case.layers if _drifts(layer, model_copy.get_submodule(layer.name))]
    if not drifting:
        return None
    moved, spread = _movement(case, model_copy, drifting)
    fraction = moved / spread if spread > 0 else float("inf")
    batches = case.train_loader.length or len(case.train_loader.batches)
    harmful = fraction > HARMFUL and case.model.training  # in eval mode they may be meant to stay
    judgment = "much: the head learns on shifting ground" if fraction > HARMFUL else "little here"
    return Symptom(
        f"{len(drifting)} frozen BatchNorm layers would go on changing: requires_grad=False does not stop their "
        "statistics.",
        f"After one pass of {batches} batches in train mode the features in front of {in_python(case.head.name)} have "
        f"moved by {fraction:.0%} of the distance between images ({judgment}); the layers are {case.listed(drifting)}."
        + ("" if case.model.training else " As it is now, in eval mode, the model keeps them still."),
        "def keep_frozen_batchnorm(model):  # after each model.train()\n"
        "    for module in model.modules():\n"
        "        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.weight.requires_grad:\n"
        "            module.eval()",
        severity="warning" if harmful else "note",
    )


def _drifts(layer: Layer, model_copy: nn.Module) -> bool:
    if not layer.is_batch_norm or not layer.frozen or not model_copy.training or has_initial_statistics(layer):
        return False
    return layer.module.track_running_stats and layer.module.running_mean is not None and layer.module.momentum != 0


def _movement(case: Case, model_copy: nn.Module, drifting: list[Layer]) -> tuple[float, float]:
    """How far the features move during one epoch of training, and how far apart images are (root mean square)."""
    few = case.affordable
    sample = case.batch[0][:few]
    modes = {name: module.training for name, module in model_copy.named_modules()}
    before = _features(case, model_copy, sample)
    loader = case.train_loader
    batches = [case.for_model(images[: 2 * few]) for images, _ in loader.batches if len(images) > 1][:BATCHES]
    if not batches:
        raise CannotTell("the training loader gave no batch of two or more images")
    for name, training in modes.items():
        model_copy.get_submodule(name).training = training
    epoch = max(loader.length or len(batches), len(batches))
    for layer in drifting:  # a few batches stand for a whole epoch of them
        module = model_copy.get_submodule(layer.name)
        if module.momentum is not None:
            module.momentum = 1 - (1 - module.momentum) ** (epoch / len(batches))
    with torch.no_grad():
        for images in batches:
            case.run(model_copy, images)
    after = _features(case, model_copy, sample)
    moved = float((after - before).square().sum(1).mean().sqrt())
    return moved, float((before - before.mean(0)).square().sum(1).mean().sqrt()) * 2**0.5


def _features(case: Case, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the head gets, (B, features), in eval mode."""
    seen: list[torch.Tensor] = []
    hook = model.get_submodule(case.head.name).register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    model.eval()
    with torch.no_grad():
        case.run(model, images)
    hook.remove()
    features = seen[-1].float()
    return features.mean((-2, -1)) if features.ndim == 4 else features.flatten(1)
