"""The layouts in which training scripts save weights: wrappers, prefixes, pickled objects, other heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from helpers.errors import note
from helpers.models.heads import last_layer, replace_head
from helpers.models.layout import head_paths

WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model_state_dict", "model", "net"),
    *("network", "weights", "params", "module"),
)
"""Keys under which a checkpoint keeps the weights; averaged ones (EMA) first, as in timm."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "ema_model.")
"""What DistributedDataParallel, `torch.compile`, Lightning and others put before every key."""


class Inert:
    """Stands for an object of an unknown class in a checkpoint; keeps what the object held, and runs nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> Inert:  # noqa: D102
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        self.state = state


def find_state_dict(loaded: object) -> dict[str, Tensor] | None:
    """The tensors by name in what a file held: a state_dict, a dictionary around one, or a whole network."""
    if isinstance(loaded, Inert):
        state = getattr(loaded, "state", None)
        return _tensors_of(state) or None if isinstance(state, Mapping) and "_modules" in state else None
    if not isinstance(loaded, Mapping):
        return None
    tensors = {key: value for key, value in loaded.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if len(tensors) > len(loaded) / 2:
        return tensors
    inner = (find_state_dict(loaded[key]) for key in WRAPPERS if key in loaded)
    return next((state for state in inner if state is not None), None)


def _tensors_of(module: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """The state_dict of a pickled network, from what its modules held."""
    hidden = module.get("_non_persistent_buffers_set", ())
    own = {**module["_parameters"], **{key: value for key, value in module["_buffers"].items() if key not in hidden}}
    found = {prefix + key: value for key, value in own.items() if isinstance(value, Tensor)}
    for name, child in module["_modules"].items():
        if isinstance(child, Inert):
            found |= _tensors_of(child.state, f"{prefix}{name}.")
    return found


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state_dict without the `PREFIXES` that every key has."""
    state = dict(state)
    for prefix in PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def adapt(model: nn.Module, state: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    """Bring a state_dict into the form of a network, as far as it holds that network's weights.

    The network's part may stand under a prefix among other things (Lightning), or in fastai's order. A head for another
    number of classes is taken over, and the network's own changed for it; where there is none that fits, the network
    gets a new head, which a note says.
    """
    own, heads = model.state_dict(), tuple(f"{path}." if path else "" for path in head_paths(model))
    body = [key for key in own if not key.startswith(heads) and not key.endswith("num_batches_tracked")]
    part = _body_in(state, {key: own[key] for key in body})
    if part is None or not body:
        return state
    in_own = {key: value for key, value in part.items() if key.startswith(heads)}
    wanted = {key: value for key, value in own.items() if key.startswith(heads)}
    if _shapes(in_own) == _shapes(wanted):
        return part
    last = [f"{last_layer(model, path)}.weight" for path in head_paths(model)]
    others = {key: shape[1:] for key, shape in _shapes(in_own).items()}
    if last[0] in in_own and others == {key: shape[1:] for key, shape in _shapes(wanted).items()}:
        replace_head(model, len(in_own[last[0]]))
        return part
    note(f"{source} holds no head that fits this {type(model).__name__}; it starts with a new one")
    replace_head(model, len(own[last[0]]))
    fresh = {key: value for key, value in model.state_dict().items() if key.startswith(heads)}
    return {key: value for key, value in part.items() if not key.startswith(heads)} | fresh


def _body_in(state: dict[str, Tensor], body: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The part of `state` that holds a network without its head, by the network's names; None if there is none."""
    first = next(iter(body), "")
    prefixes = {key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")}
    for prefix in sorted(prefixes, key=len):
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if body.keys() <= part.keys():
            return part
    counted = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    in_order = {key: value for key, value in counted.items() if key.startswith("0.")}  # fastai: body, then head
    if list(_shapes(in_order).values()) == list(_shapes(body).values()):
        return dict(zip(body, in_order.values(), strict=True))
    return None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}
