"""Watch loaders being iterated: whose batch is whose, and where a pass begins and ends."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from transfer_doctor.watching.batches import note_batch, tensors_in
from transfer_doctor.watching.patching import Patches
from transfer_doctor.watching.record import Pass, Record

FRAMES = 12
TEST = re.compile(r"(^|_)test($|_|load|data|set|dl)", re.IGNORECASE)


class WatchedIterator:
    """Hands on the batches of an iterator and notes them; everything else is the iterator's own."""

    def __init__(self, iterator: Iterator, source: Pass, loaders: Loaders) -> None:
        self._iterator, self._source, self._loaders = iterator, source, loaders

    def __iter__(self) -> WatchedIterator:
        return self

    def __next__(self) -> Any:
        record = self._loaders.record
        try:
            with self._loaders.loading():
                batch = next(self._iterator)
        except StopIteration:
            if record.active and not self._source.complete:
                self._source.complete = True
                record.safely("loaders", self._loaders.at_end, self._source)
            raise
        if record.active:
            record.safely("loaders", note_batch, record, self._source, batch)
        return batch

    def __len__(self) -> int:
        return len(self._iterator)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)


class Loaders:
    """Observes the loaders that were passed to `watch` and every other `DataLoader`.

    Attributes:
        not_seen: for each loader that cannot be observed, why.
    """

    def __init__(
        self,
        record: Record,
        shown: dict[str, Any],
        quiet: Callable[[bool], None],
        at_end: Callable[[Pass], None],
    ) -> None:
        self.record, self.quiet, self.at_end = record, quiet, at_end
        self.shown = {role: loader for role, loader in shown.items() if loader is not None}
        self.not_seen: dict[str, str] = {}
        self._listed: dict[int, tuple[str, int]] = {}
        self._listed_pass: tuple[Pass, int] | None = None

    def attach(self, patches: Patches) -> None:
        """Wrap `__iter__` of the loaders' classes."""
        patches.wrap_method_of(DataLoader, "__iter__", self._iterate)
        for role, loader in self.shown.items():
            try:
                patches.wrap_method_of(type(loader), "__iter__", self._iterate)
            except (TypeError, StopIteration):
                if isinstance(loader, list | tuple):
                    self._listed |= {id(t): (role, i) for i, batch in enumerate(loader) for t in tensors_in(batch)}
                    continue
                kind = type(loader).__name__
                self.not_seen[role] = f"a {kind} cannot be watched being iterated; a DataLoader or a class can"

    def notice(self, inputs: list[torch.Tensor]) -> None:
        """Batches in a list are handed out unseen: note one when the model gets it."""
        role, index = next((self._listed[id(t)] for t in inputs if id(t) in self._listed), ("", 0))
        source, last = self._listed_pass or (None, -1)
        if not role or (source is not None and (source.role, last) == (role, index)):
            return
        if source is None or source.role != role or index < last:
            self.end_listed()
            source = self.record.begin(role)
        self._listed_pass = (source, index)
        note_batch(self.record, source, self.shown[role][index])

    def end_listed(self) -> None:
        """A pass over a list is over when the next begins, or when the block ends."""
        if self._listed_pass is not None:
            source, last = self._listed_pass
            source.complete = last + 1 == len(self.shown[source.role])
            self.record.safely("loaders", self.at_end, source)
        self._listed_pass = None

    def _iterate(self, original: Callable, loader: Any) -> Iterator:
        if not self.record.active or self.record.loading:
            return original(loader)
        with self.loading():
            iterator = original(loader)
        return WatchedIterator(iterator, self.record.begin(self._role(loader)), self)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Observe nothing while a loader's own code runs."""
        self.record.loading += 1
        self.quiet(True)
        try:
            yield
        finally:
            self.quiet(False)
            self.record.loading -= 1

    def _role(self, loader: Any) -> str:
        for role, shown in self.shown.items():
            if loader is shown:
                return role
        dataset = getattr(loader, "dataset", None)
        for role, shown in self.shown.items():  # a loader made anew for each epoch, or prepared by accelerate
            if dataset is not None and dataset is getattr(shown, "dataset", None):
                return role
        return "test" if any(TEST.search(name) for name in _names(loader)) else "other"


def _names(loader: Any) -> Iterator[str]:
    """The names that the loop's own variables and attributes give a loader."""
    frame = sys._getframe(1)
    for _ in range(FRAMES):
        if frame is None:
            return
        if not frame.f_globals.get("__name__", "").startswith(("transfer_doctor", "torch.")):
            variables = dict(frame.f_locals)
            owner = variables.pop("self", None)
            variables.update(getattr(owner, "__dict__", {}))
            for name, value in variables.items():
                if value is loader:
                    yield name
                elif type(value) is dict:
                    yield from (str(key) for key, each in value.items() if each is loader)
        frame = frame.f_back
