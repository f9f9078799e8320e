"""Read weights files without running code, and load them whole or not at all."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_OLD_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file (.pth, .pt in the new or the old format, or .safetensors) to the CPU.

    Nothing in the file is executed. What training scripts wrap around a state_dict is removed: an enclosing dictionary
    with "state_dict" or "model", and the prefixes of DistributedDataParallel, `torch.compile` and Lightning. Keys of
    old DenseNet files get their present names.

    Raises:
        HelpersError: if the file is missing, empty, truncated, a web page, no weights file, holds pickled code
            instead of tensors, or has values that are not finite.
    """
    path = Path(path)
    start = _first_bytes(path)
    loaded = _read_safetensors(path) if _is_safetensors(start) else _read_torch(path)
    state = _inner_state_dict(loaded)
    if state is None:
        raise HelpersError(
            f"{path} holds {_describe(loaded)}, not the weights of a network; "
            "give a file that was saved with torch.save(model.state_dict(), path)."
        )
    state = {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in strip_prefixes(state).items()}
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise HelpersError(
            f"{path} has values that are not finite (NaN or infinity) in {_some(broken)}; "
            "the training that wrote it went wrong: take an earlier checkpoint, or download it again."
        )
    return state


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state_dict without what DistributedDataParallel, `torch.compile` and Lightning put before every key."""
    state = dict(state)
    for prefix in _PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def load_into(model: nn.Module, state: Mapping[str, Tensor], source: object = "the state_dict") -> None:
    """Load a state_dict if every key and shape fits the model; otherwise leave the model as it was.

    Args:
        model: takes the values, on its own device and in its own type.
        state: from `read_state_dict`.
        source: what the error calls the weights, such as their path.

    Raises:
        HelpersError: naming the keys that are missing, unexpected, of another shape, or integers.
    """
    own = model.state_dict()
    integers = [k for k, v in state.items() if k in own and own[k].is_floating_point() > v.is_floating_point()]
    if integers:
        raise HelpersError(
            f"{source} holds integers where the network has fractions ({_some(integers)}), so it is quantized or no "
            "weights file; give weights in floating point. Nothing was loaded."
        )
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    complete = counters | dict(state)  # files from before PyTorch 0.4.1 do not count batches
    shapes = {
        key: f"{key}: {tuple(value.shape)} in the file, {tuple(own[key].shape)} in the network"
        for key, value in complete.items()
        if key in own and value.shape != own[key].shape
    }
    fitting = {key: value.to("meta") for key, value in complete.items() if key not in shapes}
    tried = copy.deepcopy(model).to("meta").load_state_dict(fitting, strict=False)  # renames keys as the model would
    problems = [key for key in tried.missing_keys if key not in shapes], tried.unexpected_keys, [*shapes.values()]
    if any(problems):
        raise HelpersError(f"{source} does not fit {type(model).__name__}: {_misfit(len(own), *problems)}")
    model.load_state_dict(complete)


def read_preprocessing(path: str | Path) -> Preprocessing | None:
    """The preprocessing in a safetensors file's metadata; None if there is none, or for other files.

    Raises:
        HelpersError: if what stands there is no preprocessing.
    """
    texts = metadata(path)
    text = texts.get("preprocessing") or texts.get("recipe")  # its name in files of the first version
    try:
        return Preprocessing.from_dict(json.loads(text)) if text else None
    except (ValueError, HelpersError) as error:
        raise HelpersError(
            f"the preprocessing in {path} cannot be used ({error}); save the weights with a right one, or without."
        ) from error


def metadata(path: str | Path) -> dict[str, str]:
    """The texts in a safetensors file's header; empty for other files."""
    if not _is_safetensors(_first_bytes(Path(path))):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise HelpersError(_damaged(Path(path), error)) from error


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise HelpersError(f"there is no weights file {path}; check the path, or choose other weights.")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise HelpersError(f"{path} cannot be read ({error.strerror}); give a weights file.") from error
    if not start:
        raise HelpersError(f"{path} is empty; download or save it again.")
    if start.lstrip().startswith(b"<"):
        raise HelpersError(
            f"{path} is a web page, not weights; the address it came from needs a login or is not the file's own: "
            "open it in a browser and download the file again."
        )
    if start.startswith(b"version https://git-lfs"):
        raise HelpersError(f"{path} only points to the weights (Git LFS); fetch them with `git lfs pull`.")
    return start


def _is_safetensors(start: bytes) -> bool:
    return start[8:9] == b"{"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise HelpersError(_damaged(path, error)) from error


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise HelpersError(_damaged(path, error)) from error
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise HelpersError(
            f"{path} holds Python objects that would run code when loaded{f' ({found[1]})' if found else ''}, not only "
            "tensors; ask for, or save, the weights alone: torch.save(model.state_dict(), path)."
        ) from None
    except Exception as error:  # torch.load raises many kinds for damaged files
        raise HelpersError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0][:120]
    return f"{path} is truncated or no weights file ({reason}); download or save it again."


def _inner_state_dict(loaded: object) -> Mapping[str, Tensor] | None:
    while isinstance(loaded, Mapping) and not _is_state_dict(loaded):
        loaded = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
    return loaded if isinstance(loaded, Mapping) else None


def _is_state_dict(loaded: Mapping) -> bool:
    return bool(loaded) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items())


def _describe(loaded: object) -> str:
    if isinstance(loaded, Mapping):
        return f"a dictionary of {_some([str(key) for key in loaded])}" if loaded else "an empty dictionary"
    return f"a {type(loaded).__name__}"


def _misfit(total: int, missing: list[str], unexpected: list[str], shapes: list[str]) -> str:
    counts = [
        (missing, f"{len(missing)} of the network's {total} keys are missing ({_some(missing)})"),
        (unexpected, f"{len(unexpected)} keys are not in the network ({_some(unexpected)})"),
        (shapes, f"{len(shapes)} have another shape ({_some(shapes, '; ')})"),
    ]
    advice = "choose the architecture that the file was made for"
    if not missing and not unexpected and len(shapes) <= 2:
        advice = (
            "the file's head is for another number of classes: give the network the same with replace_head(...) first"
        )
    return f"{', and '.join(text for keys, text in counts if keys)}; {advice}. Nothing was loaded."


def _some(names: list[str], separator: str = ", ") -> str:
    return separator.join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
