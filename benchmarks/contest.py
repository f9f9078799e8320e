"""Contenders in processes of their own, each waiting its turn: medians of interleaved repeats.

Each has its own process because settings such as the memory allocator's belong to the whole process. Interleaving
spreads whatever else the machine does evenly over all of them.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import statistics
import time
import traceback
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

Contender = tuple[str, Mapping[str, Any]]
"""`module.function` in this package, which makes the work, and its arguments."""

OURS = ("ours", "floor")
"""Modules that run as our own processes do: `helpers` is imported before torch, and limits how threads spin."""


def contest(contenders: Mapping[str, Contender], repeats: int) -> dict[str, dict[str, float]]:
    """Time every contender `repeats` times after one turn to warm up.

    Args:
        contenders: by name. The function returns the work: a callable that returns how many images it went through.
        repeats: how many timed turns each has; they take turns.

    Returns:
        For each contender the median `seconds` of a turn, and `images`, the number of them in a turn.
    """
    lines: dict[str, Connection] = {}
    turns: dict[str, list[tuple[float, int]]] = {name: [] for name in contenders}
    with contextlib.ExitStack() as processes:
        for name, contender in contenders.items():
            lines[name] = processes.enter_context(waiting(contender))
            answer(name, lines[name])
        for turn in range(repeats + 1):
            for name, line in lines.items():
                line.send("go")
                result = answer(name, line)
                if turn:
                    turns[name].append(result)
    return {
        name: {"seconds": statistics.median(seconds for seconds, _ in results), "images": results[0][1]}
        for name, results in turns.items()
    }


@contextlib.contextmanager
def waiting(contender: Contender) -> Iterator[Connection]:
    """A process that waits for its turns; it ends with the contest, however that ends."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, contender))
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def answer(name: str, line: Connection) -> Any:
    answer = line.recv()
    if isinstance(answer, str):
        raise RuntimeError(f"{name} failed:\n{answer}")
    return answer


def _serve(line: Connection, contender: Contender) -> None:
    """In the contender's process: make the work, then do one turn whenever asked."""
    try:
        module, function = contender[0].rsplit(".", 1)
        if module in OURS:
            importlib.import_module("helpers")
        work = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**contender[1])
        line.send(None)
        while line.recv() == "go":
            start = time.perf_counter()
            images = work()
            line.send((time.perf_counter() - start, images))
    except EOFError:  # whoever was to give the turns is gone
        return
    except Exception:
        line.send(traceback.format_exc())
