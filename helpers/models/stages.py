"""A backbone as an ordered list of named stages, from stem to head: what learns, what stays, how fast.

Freezing, parameter groups, gradual unfreezing, the doctor and the plots all speak of stages. How the stages of an
architecture are found is in `helpers.models.layout`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.errors import HelpersError
from helpers.models.layout import head_paths, layout


@dataclass(frozen=True, eq=False)
class Stage:
    """A stretch of a network that learns, or is frozen, as one.

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
        """Whether any parameter of the stage learns."""
        return any(parameter.requires_grad for parameter in self.parameters.values())


def stages(model: nn.Module) -> list[Stage]:
    """The stages of a network, from the stem to the head, covering every parameter exactly once.

    In convolutional networks a stage is a stretch that works at one resolution, or one of the stacks of blocks that
    the authors named (`layer1` to `layer4`); in transformers it is a block. The last stage is the head. A network of
    an unknown kind gets one stage for each of its direct children that has parameters.

    Args:
        model: torchvision, timm or any other classifier; wrapped in DistributedDataParallel or compiled ones too.

    Raises:
        HelpersError: if the network has no parameters.
    """
    parameters = dict(model.named_parameters())
    if not parameters:
        raise HelpersError(f"{type(model).__name__} has no parameters, so it has no stages; pass a network.")
    return [
        Stage(name, {full: parameters[full] for full in names}, tuple(modules))
        for name, names, modules in layout(model)
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
    """Let exactly the named stages learn, and freeze all others.

    A frozen stage is frozen altogether: its parameters take no gradient (and drop the one they had, so that no
    optimizer with momentum moves them), and its modules stay in eval mode, so that BatchNorm keeps its statistics
    and dropout and stochastic depth are off, also when `model.train()` is called later.

    That works by giving each frozen module its own `train` attribute, which the `train()` of its parents calls.
    It needs no hook and no new class, leaves the state_dict as it was, follows the model through `copy.deepcopy`,
    pickling, DistributedDataParallel and `torch.compile`, and is taken away when the stage learns again.

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
        learns = stage.name in chosen
        for parameter in stage.parameters.values():
            parameter.requires_grad_(learns)
            if not learns:
                parameter.grad = None
        for module in stage.modules:
            if learns:
                _release(module, "frozen", model.training)
            else:
                _hold_in_eval(module, "frozen")


def freeze(model: nn.Module, up_to: str | None = None) -> None:
    """Freeze the stages from the stem up to and including `up_to`; the later ones learn.

    Args:
        model: any network that `stages` can read.
        up_to: name of a stage; all but the head when left out.

    Raises:
        HelpersError: if `up_to` is no stage of this model.
    """
    names = [stage.name for stage in stages(model)]
    if up_to is not None:
        _check_names({up_to}, names)
    set_trainable(model, names[-1:] if up_to is None else names[names.index(up_to) + 1 :])


def unfreeze(model: nn.Module) -> None:
    """Let every stage learn."""
    set_trainable(model, [stage.name for stage in stages(model)])


def freeze_batchnorm_statistics(model: nn.Module, frozen: bool = True) -> None:
    """Keep every BatchNorm layer's running mean and variance as they are, while its scale and shift may learn.

    Fine-tuning with small batches, or with weights whose statistics were made separately, goes better so. Stages that
    `set_trainable` froze keep their statistics anyway; this is about the stages that learn.

    Args:
        model: any network.
        frozen: False lets the statistics move again, except in frozen stages.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and frozen:
            _hold_in_eval(module, "statistics")
        elif isinstance(module, _BatchNorm):
            _release(module, "statistics", model.training)
    for module in model.modules():
        if "_held_in_eval" in module.__dict__:
            module.eval()


def parameter_groups(
    model: nn.Module,
    lr: float,
    layer_decay: float = 1.0,
    *,
    weight_decay: float = 0.0,
    head_lr: float | None = None,
) -> list[dict[str, Any]]:
    """Groups for an optimizer, one learning rate per stage, of the parameters that learn.

    Discriminative rates as in Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification"
    (2018): the k-th stage before the head gets `lr * layer_decay**k`. Weight decay is for the weights of layers alone:
    biases, norms, tokens and position embeddings get none.

    Args:
        model: any network that `stages` can read.
        lr: learning rate of the head, and where the others start from.
        layer_decay: factor from one stage to the one before it; 1 gives all the same rate.
        weight_decay: for the weights of layers.
        head_lr: another learning rate for the head.

    Returns:
        Dictionaries with "name", "lr", "weight_decay" and "params", from stem to head; no parameter twice. With
        weight decay, what is exempt from it stands in groups of its own, named "<stage> (no decay)".

    Raises:
        HelpersError: if no parameter learns.
    """
    groups = []
    every = stages(model)
    for distance, stage in zip(reversed(range(len(every))), every, strict=True):
        rate = head_lr if head_lr is not None and distance == 0 else lr * layer_decay**distance
        learning = {name: p for name, p in stage.parameters.items() if p.requires_grad}
        decayed = [p for name, p in learning.items() if weight_decay == 0 or _is_layer_weight(name, p)]
        exempt = [p for name, p in learning.items() if weight_decay != 0 and not _is_layer_weight(name, p)]
        if decayed:
            groups.append({"name": stage.name, "lr": rate, "weight_decay": weight_decay, "params": decayed})
        if exempt:
            name = f"{stage.name} (no decay)"
            groups.append({"name": name, "lr": rate, "weight_decay": 0.0, "params": exempt})
    if not groups:
        raise HelpersError(
            "every parameter of the model is frozen, so there is nothing to optimize; "
            f"call set_trainable(model, names) with one of {[stage.name for stage in every]}."
        )
    return groups


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Run a model in eval mode inside a `with` block; afterwards every module is in the mode in which it was."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


def _is_layer_weight(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and "weight" in name.rpartition(".")[2]


def _check_names(chosen: Collection[str], known: list[str]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise HelpersError(f"this model has no stage {name!r}; its stages are {', '.join(known)}.{hint}")


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stands in for `module.train` while there is a reason to stay in eval mode."""
    return type(module).train(module, False)


def _hold_in_eval(module: nn.Module, reason: str) -> None:
    reasons = module.__dict__.setdefault("_held_in_eval", set())
    reasons.add(reason)
    module.__dict__["train"] = partial(_stay_in_eval, module)
    module.eval()


def _release(module: nn.Module, reason: str, training: bool) -> None:
    """Take a reason away; with none left, the module follows `train()` again, from the present mode on."""
    reasons = module.__dict__.get("_held_in_eval", set())
    if reason not in reasons:
        return
    reasons.remove(reason)
    if not reasons:
        del module.__dict__["_held_in_eval"], module.__dict__["train"]
    module.train(training)
