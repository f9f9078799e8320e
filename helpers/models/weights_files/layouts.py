"""The layouts in which training scripts save weights: wrappers, prefixes, pickled objects, other heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from helpers.errors import note
from helpers.models.heads import last_layer, replace_head
from helpers.models.layout import head_paths

WRAPPERS = [
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
]
"""Keys under which a checkpoint keeps the weights; averaged ones (EMA) first, as in timm."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "ema_model.")
"""What DistributedDataParallel, `torch.compile`, Lightning and others put before every key."""


class Inert:
    """Stands for an object of an unknown class in a checkpoint; holds nothing, and runs nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> Inert:  # noqa: D102
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None: ...


def find_state_dict(loaded: object) -> dict[str, Tensor] | None:
    """The tensors by name in what a file held: a state_dict, or a dictionary around one."""
    if not isinstance(loaded, Mapping):
        return None
    tensors = {key: value for key, value in loaded.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if len(tensors) > len(loaded) / 2:
        return tensors
    inner = (find_state_dict(loaded[key]) for key in WRAPPERS if key in loaded)
    return next((state for state in inner if state is not None), None)


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state_dict without the `PREFIXES` that every key has."""
    state = dict(state)
    for prefix in PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def adapt(model: nn.Module, state: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    """Find a network's weights in a state_dict: under a prefix among other things (Lightning), or in fastai's order.

    A head for another number of classes is taken over; where there is none that fits, the network gets a new one.
    """
    paths, own = head_paths(model), model.state_dict()
    heads, last = tuple(f"{path}." for path in paths), f"{last_layer(model, paths[0])}.weight"
    part = _body_in(state, {key: value for key, value in own.items() if not key.startswith((*heads, last))})
    if part is None or last in part:
        if part and part[last].shape[1:] == own[last].shape[1:] and len(part[last]) != len(own[last]):
            replace_head(model, len(part[last]))
        return part or state
    note(f"{source} holds no head that fits this {type(model).__name__}; it starts with a new one")
    own = replace_head(model, len(own[last])).state_dict()
    return {**{key: value for key, value in part.items() if not key.startswith(heads)}, **_under(own, heads)}


def _under(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith(prefixes)}


def _body_in(state: dict[str, Tensor], body: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The part of `state` that holds a network without its head, by the network's names; None if there is none."""
    body = {key: value for key, value in body.items() if not key.endswith("num_batches_tracked")}
    first = next(iter(body), "no body")
    for prefix in sorted((key.removesuffix(first) for key in state if f".{key}".endswith(f".{first}")), key=len):
        part = {key.removeprefix(prefix): value for key, value in _under(state, (prefix,)).items()}
        if body.keys() <= part.keys():
            return part
    numbered = {key: value for key, value in _under(state, ("0.",)).items() if "num_batches_tracked" not in key}
    if [value.shape for value in numbered.values()] == [value.shape for value in body.values()]:  # fastai's order
        return dict(zip(body, numbered.values(), strict=True))
    return None
