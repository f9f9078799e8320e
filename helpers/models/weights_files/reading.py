"""Read weights files without running code, and load them whole or not at all."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from helpers.data.preprocessing import Preprocessing
from helpers.errors import HelpersError, warn
from helpers.files import sha256
from helpers.models.weights_files.layouts import Inert, adapt, find_state_dict, strip_prefixes

_GREATEST = 1e8
"""No weight of a working network is larger; a flipped bit makes it so."""

_HASH_IN_NAME = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})$")
_OLD_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file (.pth, .pt in the new or the old format, or .safetensors) to the CPU.

    Nothing in the file is executed: objects of other classes than tensors are passed over. What training scripts wrap
    around a state_dict is removed: an enclosing dictionary ("state_dict", "model_ema" ...), and the prefixes of
    DistributedDataParallel, `torch.compile` and Lightning. Keys of old DenseNet files get their present names.

    Raises:
        HelpersError: if the file is missing, empty, truncated, changed, a web page, no weights file, holds objects
            instead of tensors, or has values that are not finite or beyond all measure.
    """
    path = Path(path)
    start = _first_bytes(path)
    _check_name(path)
    loaded, classes = (_read_safetensors(path), []) if _is_safetensors(start) else _read_torch(path, start)
    state = find_state_dict(loaded)
    if state is None and classes:
        raise HelpersError(
            f"{path} holds Python objects that would run code when loaded ({classes[0]}), not only tensors; "
            "ask for, or save, the weights alone: torch.save(model.state_dict(), path)."
        )
    if state is None:
        raise HelpersError(
            f"{path} holds {_describe(loaded)}, not the weights of a network; "
            "give a file that was saved with torch.save(model.state_dict(), path)."
        )
    state = {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in strip_prefixes(state).items()}
    real = {key: value for key, value in state.items() if value.is_floating_point()}
    broken = [key for key, value in real.items() if not value.isfinite().all()]
    if broken:
        raise HelpersError(
            f"{path} has values that are not finite (NaN or infinity) in {_some(broken)}; "
            "the training that wrote it went wrong: take an earlier checkpoint, or download it again."
        )
    huge = [key for key, value in real.items() if (value.abs() > _GREATEST).any()]
    if huge:
        raise HelpersError(
            f"{path} has values of {state[huge[0]].abs().max():.0e} in {_some(huge)}, which no working network has: "
            "take an earlier checkpoint, or download it again."
        )
    return state


def load_into(
    model: nn.Module, state: Mapping[str, Tensor], source: object = "the state_dict", *, other_head: bool = False
) -> None:
    """Load a state_dict if every key and shape fits the model; otherwise leave the model as it was.

    Args:
        model: takes the values, on its own device and in its own type.
        state: from `read_state_dict`.
        source: what the error calls the weights, such as their path.
        other_head: take weights for other classes, or under other names; see `helpers.models.weights_files.layouts`.

    Raises:
        HelpersError: naming the keys that are missing, unexpected, of another shape, or integers.
    """
    state = adapt(model, dict(state), source) if other_head else state
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


def digest(model: nn.Module) -> str:
    """A checksum (CRC-32, 8 digits) of all weights, by which a run knows what it started from."""
    value = 0
    for tensor in model.state_dict().values():
        value = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy(), value)
    return f"{value:08x}"


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


def _read_torch(path: Path, start: bytes) -> tuple[object, list[str]]:
    """What a file of `torch.save` holds, and the classes in it that were passed over."""
    if (start[:1] == b"\x08" and b"\x12" in start[2:4]) or path.suffix.lower() == ".onnx":
        raise HelpersError(f"{path} is an ONNX graph, not weights for PyTorch; give the file that it was made from.")
    classes: list[str] = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                broken = file.testzip()  # torch.load checks no checksums
                scripted = any(name.endswith("/constants.pkl") for name in file.namelist())
            if broken:
                raise ValueError(f"{broken} does not match its checksum")
            if scripted:
                advice = "torch.save(torch.jit.load(path).state_dict(), other_path)"
                raise HelpersError(f"{path} is a TorchScript program, not weights; save these with {advice}.")
        while True:
            try:
                with warnings.catch_warnings(), torch.serialization.safe_globals([(Inert, name) for name in classes]):
                    warnings.simplefilter("ignore")
                    return torch.load(path, map_location="cpu", weights_only=True), classes
            except pickle.UnpicklingError as error:
                found = re.search(r"GLOBAL ([\w.]+)", str(error))
                if found is None:
                    raise
                if found[1] in classes:  # one of the functions that PyTorch always refuses
                    return None, [found[1]]
                classes.append(found[1])
    except HelpersError:
        raise
    except Exception as error:  # torch.load raises many kinds for damaged files
        raise HelpersError(_damaged(path, error)) from error


def _check_name(path: Path) -> None:
    """Warn where a file's name ends in the first digits of a SHA-256, as published weights do, and it has another."""
    promised = _HASH_IN_NAME.search(path.stem)
    if promised and not sha256(path).startswith(promised[1]):
        warn(f"{path} is not the file that its name promises (SHA-256 {promised[1]}...); download it again")


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0][:120]
    return f"{path} is truncated or no weights file ({reason}); download or save it again."


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
