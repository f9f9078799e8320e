"""One pass through a copied model, watched: what is called, in which order, and what the gradients reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Layer:
    """A module that holds parameters itself (not only through its children).

    `parameters` maps full names to the learner's own parameters.
    """

    name: str
    module: nn.Module
    parameters: dict[str, nn.Parameter]

    @property
    def is_norm(self) -> bool:
        """Whether this is a normalization layer (batch, layer, group, instance, RMS)."""
        return "norm" in type(self.module).__name__.lower() or isinstance(self.module, nn.modules.batchnorm._NormBase)

    @property
    def is_batch_norm(self) -> bool:
        """Whether it keeps statistics of the images that it sees."""
        return isinstance(self.module, nn.modules.batchnorm._BatchNorm)

    @property
    def weight(self) -> nn.Parameter | None:
        """Its first parameter with two or more dimensions."""
        return next((p for p in self.parameters.values() if p.ndim >= 2), None)

    @property
    def frozen(self) -> bool:
        """Whether none of its parameters learns."""
        return not any(p.requires_grad for p in self.parameters.values())


@dataclass(frozen=True)
class ForwardTrace:
    """What one forward and backward pass in training mode showed.

    Attributes:
        calls: full names of the modules as they were entered, one entry for each call.
        unreached: full names of the parameters that the outputs do not depend on.
        smallest_map: height and width of the smallest feature map that a convolution wider than one pixel gave.
        error: what the model raised, or None.
        culprit: the innermost module that was running when it raised.
        multiplications: of one image in one forward pass, in all convolutions and linear layers.
    """

    calls: list[str]
    unreached: list[str]
    smallest_map: tuple[int, int] | None
    error: Exception | None = None
    culprit: str = ""
    multiplications: float = 0.0

    @property
    def called(self) -> list[str]:
        """Full names of the modules that ran, in the order in which they first ran."""
        return list(dict.fromkeys(self.calls))

    @classmethod
    def of(cls, model: nn.Module, *inputs: torch.Tensor) -> ForwardTrace:
        """Run `model` (a copy: it is changed) on its inputs, usually images (B, C, H, W)."""
        calls: list[str] = []
        running: list[str] = []
        maps: list[tuple[int, int]] = []
        work: list[int] = []

        def entering(name: str, _module: nn.Module, _inputs: Any) -> None:
            running.append(name)
            calls.append(name)

        def leaving(_module: nn.Module, _inputs: Any, output: Any) -> None:
            running.pop()
            if isinstance(_module, (nn.Conv2d, nn.Linear)) and isinstance(output, torch.Tensor):
                work.append(output.numel() * _module.weight[0].numel())
                if isinstance(_module, nn.Conv2d) and max(_module.kernel_size) > 1:
                    maps.append(tuple(output.shape[-2:]))

        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, i, name=name: entering(name, m, i))
            module.register_forward_hook(leaving)
        for parameter in model.parameters():
            parameter.grad = None
            parameter.requires_grad_(parameter.is_floating_point())
        try:
            model.train()
            outputs = tensors_in(model(*inputs))
            (sum((output.float() * torch.rand_like(output.float())).sum() for output in outputs)).backward()
        except Exception as error:  # whatever the learner's module raises is a finding
            return cls(calls, [], None, error, running[-1] if running else "")
        ran = set(calls)
        unreached = [
            name for name, p in model.named_parameters() if p.grad is None and name.rpartition(".")[0] not in ran - {""}
        ]
        return cls(
            calls,
            unreached,
            min(maps, key=lambda size: size[0] * size[1], default=None),
            multiplications=sum(work) / len(inputs[0]),
        )


def forward_order(model: nn.Module, called: Sequence[str]) -> list[Layer]:
    """The layers with parameters of their own, in the order in which they were called.

    A layer that is never called itself (the output projection of attention) comes right after the nearest
    module around it that was.
    """
    rank = {name: position for position, name in enumerate(called)}
    layers = []
    for index, (name, module) in enumerate(model.named_modules()):
        own = {f"{name}.{key}" if name else key: p for key, p in module._parameters.items() if p is not None}
        if not own:
            continue
        around = name
        while around and around not in rank:
            around = around.rpartition(".")[0]
        known = around in rank and (around != "" or name == "")
        layers.append((rank[around] if known else -1, index, Layer(name, module, own)))
    return [layer for _, _, layer in sorted(layers, key=lambda entry: entry[:2])]


def main_output(outputs: Any, classes: int | None = None) -> torch.Tensor:
    """The logits among what a model returns: a tensor, a tuple, a mapping, an object with `logits`.

    Args:
        outputs: what the model returned.
        classes: how many there are, to tell scores from features where both are returned; else the first counts.

    Raises:
        TypeError: if there is no tensor.
    """
    named = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    if isinstance(named, torch.Tensor):
        return named
    found = tensors_in(outputs)
    if not found:
        raise TypeError(f"the model returns a {type(outputs).__name__} without a tensor")
    return next((output for output in found if output.ndim == 2 and output.shape[1] == classes), found[0])


def tensors_in(outputs: Any) -> list[torch.Tensor]:
    """All floating tensors in a model's output, in order."""
    if isinstance(outputs, torch.Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    elif hasattr(outputs, "logits") and hasattr(outputs, "__dict__"):
        outputs = list(vars(outputs).values())
    return [t for part in outputs for t in tensors_in(part)] if isinstance(outputs, (list, tuple)) else []
