"""Save and load named tensors with a description, in one safetensors file that is whole or absent and notices damage.

The description (backbone, class names ...) is JSON in the file's own header, so that it always belongs to the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from helpers.errors import HelpersError
from helpers.files import atomic_write

FORMAT = "transfer-learning-course/2"


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and their description into one file, atomically.

    Args:
        path: the file; an older one is replaced in one step or stays whole.
        tensors: by name; from any device, in any memory layout.
        description: anything that JSON can hold.

    Raises:
        HelpersError: if it cannot be written; the older file is then unchanged.
    """
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(description)
    content = save(whole, {"format": FORMAT, "checksum": _checksum(whole, text), "description": text})
    atomic_write(path, lambda file: file.write(content))


def load_checkpoint(path: str | Path, needs: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read and verify what `save_checkpoint` wrote.

    Args:
        path: the file.
        needs: keys that the description must have, so that a file with another purpose is refused.

    Returns:
        The tensors by name, on the CPU, and the description.

    Raises:
        HelpersError: if the file is missing, cut short, damaged, not one of ours, or has another purpose.
    """
    path = Path(path)
    if not path.is_file():
        raise HelpersError(f"there is no file {path}; train first, or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise HelpersError(
            f"{path} is damaged or another kind of file ({error}); the trained model of a run is in model.safetensors"
        ) from error
    if header.get("format") != FORMAT:
        raise HelpersError(f"{path} is a safetensors file, but was not saved by this package ({FORMAT})")
    text = header.get("description", "")
    if header.get("checksum") != _checksum(tensors, text):
        raise HelpersError(f"{path} is damaged: its content does not match its checksum; restore or delete it")
    description = json.loads(text)
    missing = [name for name in needs if name not in description]
    if missing:
        raise HelpersError(
            f"{path} is another kind of file than is needed here: it has no {', '.join(missing)}; the trained model of "
            "a run is in model.safetensors"
        )
    return tensors, description


def copy_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the model's parameters and buffers of the same names, keeping their memory layout."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)


def clone_state(model: nn.Module, only_trainable: bool = False) -> dict[str, Tensor]:
    """Copy a model's state by name: every parameter (or every trainable one) and every buffer."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    skipped = frozen if only_trainable else set()
    return {name: value.detach().clone() for name, value in model.state_dict().items() if name not in skipped}


def _checksum(tensors: Mapping[str, Tensor], description: str) -> str:
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
