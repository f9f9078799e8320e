"""A new head for a pretrained body: as many scores as the new task has classes."""

from __future__ import annotations

import torch
from torch import nn

from helpers.errors import HelpersError
from helpers.models.layout import head_paths
from helpers.models.stages import head

__all__ = ["head", "remove_auxiliary_heads", "replace_head"]


class NewHead(nn.Sequential):
    """The layers that `replace_head` puts in when there is more than one, to be replaced as one."""


def replace_head(
    model: nn.Module, classes: int, *, hidden: int | None = None, dropout: float = 0.0, seed: int = 0
) -> nn.Module:
    """Replace the last layer, so that `model(images)` gives scores of shape (B, classes).

    The layer is replaced by one of its own kind (linear, or SqueezeNet's 1x1 convolution), or by
    Linear-ReLU-Dropout-Linear with `hidden`. What the family has around it (dropout, norms, pooling) stays. Auxiliary
    classifiers (Inception v3, GoogLeNet), which know only the old classes, are taken away. Initial values are
    PyTorch's own and depend on `seed` alone; the global random state is left as it was.

    Args:
        model: a torchvision, timm or home-made classifier; changed in place.
        classes: number of classes, at least 1.
        hidden: units of a hidden layer.
        dropout: probability in [0, 1) of dropping an input of the last layer.
        seed: of the initial values.

    Returns:
        The same model, with an attribute `head_options` that says how to make the head again.

    Raises:
        HelpersError: if a number is out of its range or the model's last layer is neither linear nor a convolution.
    """
    if classes < 1:
        raise HelpersError(f"a head with classes={classes} is none; give at least 1.")
    if hidden is not None and hidden < 1:
        raise HelpersError(f"a hidden layer with hidden={hidden} units is none; give at least 1, or None.")
    if not 0 <= dropout < 1:
        raise HelpersError(f"dropout={dropout} is no probability in [0, 1); the usual values are 0 to 0.5.")
    remove_auxiliary_heads(model)
    for path in head_paths(model):
        slot = _last_layer(model, path)
        old = model.get_submodule(slot)
        new = _new_head(_input_layer(old), classes, hidden, dropout, seed)
        model.set_submodule(slot, new.train(model.training))
    model.head_options = {"hidden": hidden, "dropout": dropout}
    if hasattr(model, "num_classes"):
        model.num_classes = classes
    return model


def remove_auxiliary_heads(model: nn.Module) -> None:
    """Take away the auxiliary classifiers of torchvision's Inception v3 and GoogLeNet, if there are any."""
    for name in ("AuxLogits", "aux1", "aux2"):
        if isinstance(getattr(model, name, None), nn.Module):
            setattr(model, name, None)
            model.aux_logits = False


def _last_layer(model: nn.Module, path: str) -> str:
    """The path of the last linear or convolutional layer at or below `path`, or of the `NewHead` in its place."""
    found = None
    for name, module in model.get_submodule(path).named_modules(prefix=path):
        if isinstance(module, NewHead):
            return name
        if isinstance(module, nn.Linear | nn.Conv2d):
            found = name
    if not found:
        raise HelpersError(
            f"the head of this {type(model).__name__} ({path or 'the model itself'}) has no linear or "
            "convolutional layer to replace; give the model one, or replace its head by hand."
        )
    return found


def _input_layer(module: nn.Module) -> nn.Linear | nn.Conv2d:
    return next(part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d))


def _new_head(old: nn.Linear | nn.Conv2d, classes: int, hidden: int | None, dropout: float, seed: int) -> nn.Module:
    def layer(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 1) if isinstance(old, nn.Conv2d) else nn.Linear(inputs, outputs)

    inputs = old.in_channels if isinstance(old, nn.Conv2d) else old.in_features
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if hidden is not None:
            new = NewHead(layer(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), layer(hidden, classes))
        elif dropout > 0:
            new = NewHead(nn.Dropout(dropout), layer(inputs, classes))
        else:
            new = layer(inputs, classes)
    return new.to(device=old.weight.device, dtype=old.weight.dtype)
