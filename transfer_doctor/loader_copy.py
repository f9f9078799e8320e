"""Reading a loader without the loader noticing: a copy of it is read, or its own state is put back afterwards."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch.utils.data import DataLoader

LARGE_BYTES = 32 * 2**20  # arrays above this are shared with the copy, not copied: datasets read them only
LARGE_LIST = 20_000
DEPTH = 6


@contextmanager
def loader_copy(loader: Iterable) -> Iterator[Iterable]:
    """A loader that gives what `loader` would give next, while `loader` itself stays where it is.

    Worker processes are not started: the copy reads in this process. Where the loader cannot be copied (open
    files, locks), it is read itself, and every generator and attribute within reach is put back at the end.

    Raises:
        TypeError: if it can neither be copied nor started anew (a generator).
    """
    parts = _reachable(loader)
    try:
        copied = copy.deepcopy(loader, _shared(parts))
    except Exception as error:  # any object may fail to copy in its own way
        if hasattr(loader, "__next__"):
            raise TypeError("it is a one-shot iterator, and reading it would use it up") from error
        before = [_state(part) for part in parts]
        try:
            yield _in_this_process(loader)
        finally:
            for part, state in zip(parts, before, strict=True):
                _restore(part, state)
    else:
        yield _in_this_process(copied)


def set_epoch(loader: Iterable, epoch: int) -> None:
    """Tell a copied loader, its samplers and its dataset which epoch comes, where they keep count of epochs."""
    for part in (loader, *(getattr(loader, name, None) for name in ("sampler", "batch_sampler", "dataset"))):
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)
        elif isinstance(getattr(part, "epoch", None), int):
            part.epoch = epoch


def _in_this_process(loader: Iterable) -> Iterable:
    if isinstance(loader, DataLoader):
        here = {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
        vars(loader).update(here, pin_memory=False, _iterator=None)
    return loader


def _reachable(root: Any) -> list[Any]:
    """The objects that a loader is made of: sampler, dataset, transforms, generators, arrays, lists."""
    found, seen, queue = [], set(), [(root, 0)]
    while queue:
        item, depth = queue.pop()
        if id(item) in seen or depth > DEPTH or isinstance(item, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(item))
        found.append(item)
        if isinstance(item, (list, tuple)):
            inner = item if len(item) < 100 else ()
        elif isinstance(item, dict):
            inner = item.values() if len(item) < 100 else ()
        else:
            inner = vars(item).values() if hasattr(item, "__dict__") else ()
        queue += [(value, depth + 1) for value in inner if not isinstance(value, (str, int, float, type(None)))]
    return found


def _shared(parts: list[Any]) -> dict[int, Any]:
    """A memo for `copy.deepcopy` that hands large arrays and lists over as they are."""
    numpy = sys.modules.get("numpy")
    memo: dict[int, Any] = {}
    for part in parts:
        large = isinstance(part, torch.Tensor) and part.numel() * part.element_size() > LARGE_BYTES
        large |= isinstance(part, (list, tuple)) and len(part) > LARGE_LIST
        if numpy and isinstance(part, numpy.ndarray):
            large |= part.nbytes > LARGE_BYTES or isinstance(part, numpy.memmap)
        if large:
            memo[id(part)] = part
        if isinstance(part, DataLoader) and part._iterator is not None:
            memo[id(part._iterator)] = None
    return memo


def _state(part: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if isinstance(part, torch.Generator):
        return part.get_state()
    if isinstance(part, random.Random):
        return part.getstate()
    if numpy and isinstance(part, numpy.random.Generator):
        return copy.deepcopy(part.bit_generator.state)
    if numpy and isinstance(part, numpy.random.RandomState):
        return part.get_state()
    if isinstance(part, list):
        return list(part)
    if isinstance(part, dict):
        return dict(part)
    return dict(vars(part)) if hasattr(part, "__dict__") else None


def _restore(part: Any, state: Any) -> None:
    numpy = sys.modules.get("numpy")
    if isinstance(part, torch.Generator):
        part.set_state(state)
    elif isinstance(part, random.Random):
        part.setstate(state)
    elif numpy and isinstance(part, numpy.random.Generator):
        part.bit_generator.state = state
    elif numpy and isinstance(part, numpy.random.RandomState):
        part.set_state(state)
    elif isinstance(part, list):
        part[:] = state
    elif isinstance(part, dict):
        part.clear()
        part.update(state)
    elif state is not None:
        vars(part).clear()
        vars(part).update(state)
