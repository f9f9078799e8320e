"""New heads for pretrained networks: as many scores as the new task has classes."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from helpers.errors import HelpersError
from helpers.models.layout import head_paths


class NewHead(nn.Sequential):
    """Several layers of `replace_head`, which it later replaces as one."""


def replace_head(
    model: nn.Module, classes: int, *, hidden: int | None = None, dropout: float = 0.0, seed: int = 0
) -> nn.Module:
    """Replace the last layer, so that `model(images)` gives scores of shape (B, classes).

    The new layer is of the same kind (linear, or SqueezeNet's 1x1 convolution); with `hidden` it is
    Linear-ReLU-Dropout-Linear. The dropout, norms and pooling around it stay; auxiliary classifiers (Inception v3,
    GoogLeNet) are removed. Initial values are PyTorch's own and depend on `seed` alone; the global random state is
    left as it was.

    Args:
        model: a classifier from torchvision, timm or elsewhere; changed in place.
        classes: number of classes, at least 1.
        hidden: units of a hidden layer.
        dropout: probability in [0, 1) of dropping an input of the last layer.
        seed: of the initial values.

    Returns:
        The same model, with an attribute `head_options` that says how to make the head again.

    Raises:
        HelpersError: if a number is out of range, or the model has no linear or convolutional last layer.
    """
    if classes < 1:
        raise HelpersError(f"a head needs at least 1 class, not classes={classes}.")
    if hidden is not None and hidden < 1:
        raise HelpersError(f"a hidden layer needs at least 1 unit, not hidden={hidden}; give None for no hidden layer.")
    if not 0 <= dropout < 1:
        raise HelpersError(f"dropout={dropout} is no probability in [0, 1); the usual values are 0 to 0.5.")
    remove_auxiliary_heads(model)
    for path in head_paths(model):
        slot = last_layer(model, path)
        old = model.get_submodule(slot)
        first = next(part for part in old.modules() if isinstance(part, nn.Linear | nn.Conv2d))
        new = _new_head(first, classes, hidden, dropout, seed)
        model.set_submodule(slot, new.train(model.training))
    model.head_options = {"hidden": hidden, "dropout": dropout}
    if hasattr(model, "num_classes"):
        model.num_classes = classes
    return model


def remove_auxiliary_heads(model: nn.Module) -> None:
    """Remove the auxiliary classifiers of torchvision's Inception v3 and GoogLeNet, if there are any."""
    for name in ("AuxLogits", "aux1", "aux2"):
        if isinstance(getattr(model, name, None), nn.Module):
            setattr(model, name, None)
            model.aux_logits = False


def last_layer(model: nn.Module, path: str) -> str:
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


def _new_head(old: nn.Linear | nn.Conv2d, classes: int, hidden: int | None, dropout: float, seed: int) -> nn.Module:
    convolution = isinstance(old, nn.Conv2d)
    layer = partial(nn.Conv2d, kernel_size=1) if convolution else nn.Linear
    inputs = old.in_channels if convolution else old.in_features
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if hidden is not None:
            new = NewHead(layer(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), layer(hidden, classes))
        elif dropout > 0:
            new = NewHead(nn.Dropout(dropout), layer(inputs, classes))
        else:
            new = layer(inputs, classes)
    return new.to(device=old.weight.device, dtype=old.weight.dtype)
