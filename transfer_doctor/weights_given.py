"""What the `weights` argument stands for: a state dict to compare with, and a preprocessing for images."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from transfer_doctor.findings import CannotTell

FILES = {".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar"}  # timm's names have dots too
PREFIXES = ("module.", "model.", "backbone.", "encoder.", "net.", "_orig_mod.", "0.")


def state_dict_of(weights: Any) -> dict[str, torch.Tensor]:
    """The tensors that were to be loaded. Nothing is downloaded.

    Args:
        weights: a state dict, a checkpoint that holds one, a file (`.pth`, `.safetensors`), or a torchvision enum
            whose file is in the download cache.

    Raises:
        CannotTell: if the file is not on this machine or holds no state dict.
    """
    if isinstance(weights, Mapping):
        return _tensors(weights)
    path = _path_of(weights)
    if not path.is_file():
        raise CannotTell(f"the weights file {path.name} is not on this machine, so nothing can be compared with it")
    return _load(path, path.stat().st_mtime_ns)


def names_a_file(weights: Any) -> bool:
    """Whether weights are a path (rather than a timm name)."""
    return isinstance(weights, Path) or (isinstance(weights, str) and Path(weights).suffix in FILES)


def matching(theirs: Mapping[str, torch.Tensor], mine: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a file by the model's names, whatever prefix one of the two has."""
    best: dict[str, torch.Tensor] = {}
    for cut in ("", *PREFIXES):
        for added in ("", *PREFIXES):
            renamed = {added + name.removeprefix(cut): tensor for name, tensor in theirs.items()}
            fitting = {n: t for n, t in renamed.items() if n in mine and mine[n].shape == t.shape}
            if len(fitting) > len(best):
                best = fitting
    return best


def cosine(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """The cosine between two tensors of one shape; 1 where both are zero."""
    a, b = mine.detach().cpu().float().flatten(), theirs.detach().cpu().float().flatten()
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0)) if a.any() or b.any() else 1.0


def _path_of(weights: Any) -> Path:
    if isinstance(weights, Enum) and hasattr(weights, "url"):
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if names_a_file(weights):
        return Path(weights)
    raise CannotTell(f"weights given as {weights!r} name no file; pass the file or the state dict to compare")


@lru_cache(maxsize=2)
def _load(path: Path, _modified: int) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return _tensors(torch.load(path, map_location="cpu", weights_only=True))
    except CannotTell:
        raise
    except Exception as error:  # truncated files fail in many ways
        raise CannotTell(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error


def _tensors(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(values.get(key), Mapping):
            values = values[key]
    tensors = {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CannotTell("the weights hold no tensors; pass a state dict")
    return tensors
