"""Stages of a network, from stem to head: freeze and unfreeze them, give each its learning rate.

Gradual unfreezing, the doctor and the plots speak of stages too. How they are found in an architecture is in
`helpers.models.layout`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.errors import HelpersError
from helpers.models.layout import head_paths, layout, unwrap
from helpers.models.modes import hold_in_eval


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a network that is frozen or trained as one.

    Attributes:
        name: from the model's own attributes ("layer1", "features.4"); plain layers at the entry are the "stem".
        parameters: full name in the model -> parameter.
        modules: the modules that make up the stage, layers without parameters included.
    """

    name: str
    parameters: dict[str, nn.Parameter]
    modules: tuple[nn.Module, ...]

    @property
    def trainable(self) -> bool:
        """Whether any parameter of the stage takes a gradient."""
        return any(parameter.requires_grad for parameter in self.parameters.values())


def stages(model: nn.Module) -> list[Stage]:
    """The stages of a network, from stem to head; every parameter belongs to exactly one.

    In convolutional networks a stage is a run of layers at one resolution, or a stack of blocks that the authors named
    (`layer1` to `layer4`); in transformers it is a block; in networks of an unknown kind, a direct child with
    parameters. The last stage is the head.

    Args:
        model: a classifier from torchvision, timm or elsewhere, also inside DistributedDataParallel or `torch.compile`.

    Raises:
        HelpersError: if the network has no parameters.
    """
    parameters = dict(model.named_parameters())
    if not parameters:
        raise HelpersError(f"{type(model).__name__} has no parameters, so it has no stages; pass a network.")
    inner, prefix = unwrap(model)
    return [
        Stage(name, {prefix + own: parameters[prefix + own] for own in names}, tuple(modules))
        for name, names, modules in layout(inner)
    ]


def head(model: nn.Module) -> nn.Module:
    """The module that turns features into class scores (`fc`, `classifier`, `heads` ...): the last stage.

    Raises:
        HelpersError: for timm's distilled networks, whose last stage consists of two heads side by side.
    """
    paths = head_paths(model)
    if len(paths) > 1:
        raise HelpersError(
            f"{type(model).__name__} has {len(paths)} heads ({', '.join(paths)}), so its scores do not come from one "
            "module; choose the network without distillation, or train it without cached features."
        )
    return model.get_submodule(paths[0])


def set_trainable(model: nn.Module, names: Collection[str]) -> None:
    """Train exactly the named stages and freeze all others.

    Frozen parameters take no gradient and drop the one they had, so that no optimizer with momentum moves them. Frozen
    modules stay in eval mode when `model.train()` is called: BatchNorm keeps its statistics, and dropout and stochastic
    depth are off. A stage that you unfreeze by hand (`requires_grad_(True)`) follows `model.train()` again.

    Args:
        model: any network that `stages` can read.
        names: names of stages; an empty collection freezes everything.

    Raises:
        HelpersError: if a name is no stage of this model.
    """
    chosen = {names} if isinstance(names, str) else set(names)
    every = stages(model)
    _check_names(chosen, [stage.name for stage in every])
    for stage in every:
        for parameter in stage.parameters.values():
            parameter.requires_grad_(stage.name in chosen)
            if stage.name not in chosen:
                parameter.grad = None
    _update_modes(model)


def freeze(model: nn.Module, up_to: str | None = None) -> None:
    """Freeze the stages from the stem up to and including `up_to`, and train the later ones.

    Args:
        model: any network that `stages` can read.
        up_to: name of a stage; by default the one before the head.

    Raises:
        HelpersError: if `up_to` is no stage of this model.
    """
    names = [stage.name for stage in stages(model)]
    if up_to is not None:
        _check_names({up_to}, names)
    set_trainable(model, names[-1:] if up_to is None else names[names.index(up_to) + 1 :])


def unfreeze(model: nn.Module) -> None:
    """Train every stage."""
    set_trainable(model, [stage.name for stage in stages(model)])


def freeze_batchnorm_statistics(model: nn.Module, frozen: bool = True) -> None:
    """Keep the running mean and variance of every BatchNorm layer, while its scale and shift may learn.

    Better for small batches, and for weights whose statistics were estimated separately. Frozen stages keep their
    statistics anyway; this is about the stages that train.

    Args:
        model: any network that `stages` can read.
        frozen: False lets the statistics move again, except in frozen stages.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.frozen_statistics = frozen
    _update_modes(model)


def parameter_groups(
    model: nn.Module,
    lr: float,
    layer_decay: float = 1.0,
    *,
    weight_decay: float = 0.0,
    head_lr: float | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, with one learning rate per trainable stage.

    Discriminative learning rates as in Howard and Ruder, "Universal Language Model Fine-tuning for Text
    Classification" (2018): the k-th stage before the head gets `lr * layer_decay**k`. Only the weights of layers decay;
    biases, norms, tokens and position embeddings do not.

    Args:
        model: any network that `stages` can read.
        lr: learning rate of the head, from which the others are computed.
        layer_decay: factor from one stage to the one before it; 1 gives all the same rate.
        weight_decay: of the weights of layers.
        head_lr: another learning rate for the head.

    Returns:
        Dictionaries with "name", "lr", "weight_decay" and "params", from stem to head; no parameter twice. With
        weight decay, the parameters exempt from it are in groups of their own, named "<stage> (no decay)".

    Raises:
        HelpersError: if no parameter is trainable.
    """
    groups = []
    every = stages(model)
    for distance, stage in zip(reversed(range(len(every))), every, strict=True):
        rate = head_lr if head_lr is not None and distance == 0 else lr * layer_decay**distance
        decayed, exempt = [], []
        for name, parameter in stage.parameters.items():
            if parameter.requires_grad:
                (decayed if weight_decay == 0 or _is_layer_weight(name, parameter) else exempt).append(parameter)
        if decayed:
            groups.append({"name": stage.name, "lr": rate, "weight_decay": weight_decay, "params": decayed})
        if exempt:
            groups.append({"name": f"{stage.name} (no decay)", "lr": rate, "weight_decay": 0.0, "params": exempt})
    if not groups:
        raise HelpersError(
            "every parameter of the model is frozen, so there is nothing to optimize; "
            f"call set_trainable(model, names) with one of {[stage.name for stage in every]}."
        )
    return groups


def _is_layer_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and "weight" in name.rpartition(".")[2]


def _check_names(chosen: Collection[str], known: list[str]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise HelpersError(f"this model has no stage {name!r}; its stages are {', '.join(known)}.{hint}")


def _update_modes(model: nn.Module) -> None:
    hold_in_eval(model, [stage.modules for stage in stages(model) if not stage.trainable])
