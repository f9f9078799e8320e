"""Checkpoints that are whole or absent, that notice damage, and from which training goes on bit for bit.

A checkpoint is one safetensors file. Its tensors are named; everything else (epoch, settings, class names) is JSON in
the file's own header, so that tensors and description can never come from different moments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.files import atomic_write

FORMAT = "transfer-learning-course/2"


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and their description into one file, atomically.

    Args:
        path: the file; an older one is replaced in one step or stays whole.
        tensors: by name; written from any device and memory layout.
        description: anything that JSON can hold.

    Raises:
        HelpersError: if it cannot be written; the older file is then unchanged.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(description)
    header = {"format": FORMAT, "checksum": _checksum(whole, text), "description": text}
    content = save(whole, metadata=header)
    atomic_write(path, lambda file: file.write(content))


def load_checkpoint(path: str | Path, needs: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote and verify it.

    Args:
        path: the file.
        needs: what the description must speak of, so that a checkpoint is not taken for a trained model.

    Returns:
        The tensors by name, on the CPU, and the description.

    Raises:
        HelpersError: if the file is missing, cut short, damaged, not one of ours, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise HelpersError(f"there is no checkpoint {path}; train first, or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise HelpersError(f"{path} is cut short or not a safetensors file ({error}); restore or delete it") from error
    if header.get("format") != FORMAT:
        raise HelpersError(f"{path} is a safetensors file, but not a checkpoint of this package ({FORMAT})")
    text = header.get("description", "")
    if header.get("checksum") != _checksum(tensors, text):
        raise HelpersError(f"{path} is damaged: its content does not match its checksum; restore or delete it")
    description = json.loads(text)
    missing = [name for name in needs if name not in description]
    if missing:
        raise HelpersError(
            f"{path} is another kind of file than is needed here: it says nothing of {', '.join(missing)}. A run's "
            "folder holds the trained model in model.safetensors and the state of training in checkpoint.safetensors"
        )
    return tensors, description


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state (momentum, second moments, step counts) as named tensors: `"<parameter index>.<key>"`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value
        for index, entries in state.items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rates: list[dict]) -> None:
    """Put back what `optimizer_tensors` took, in the memory layout of each parameter, and the groups' settings.

    Fused optimizers walk through a parameter's memory and its state's memory side by side, so both must be laid out
    alike.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, saved in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        entry = torch.empty_like(parameter, dtype=saved.dtype) if saved.shape == parameter.shape else saved.clone()
        with torch.no_grad():
            optimizer.state[parameter][key] = entry.copy_(saved)
    for group, saved_group in zip(optimizer.param_groups, rates, strict=True):
        group.update(saved_group)


def group_settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Each group's settings but for its parameters (rates, momentum, decay), as JSON can hold them."""
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def copy_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the model's parameters and buffers of the same names, keeping their memory layout.

    Raises:
        HelpersError: if a name or a shape is not the model's.
    """
    own = model.state_dict()
    strange = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
    if strange:
        raise HelpersError(
            f"{len(strange)} tensors do not belong to this model, first {strange[0]}; "
            "was the checkpoint made with another backbone or another number of classes?"
        )
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)


def _checksum(tensors: Mapping[str, Tensor], description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def clone_state(model: nn.Module, only_trainable: bool = False) -> dict[str, Tensor]:
    """A copy of a model's state by name: every parameter (or every trainable one) and every buffer."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    skipped = frozen if only_trainable else set()
    return {name: value.detach().clone() for name, value in model.state_dict().items() if name not in skipped}
